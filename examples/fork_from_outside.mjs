/**
 * Clones a running program from the host: the program reads a line, each clone gets another one.
 *
 *     node examples/fork_from_outside.mjs
 */

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Machine } from 'cowshed';

const machine = await Machine.create({ memory: 64 * 1024 ** 2 });
machine.writeFile('/tmp/cat', readFileSync(new URL('../guest/bin/cat', import.meta.url)), 0o755);

const original = machine.spawn('/tmp/cat', ['cat'], { stdin: 'pipe', stdout: 'pipe' });
original.stdin.write('the original runs\n');
const [first] = await once(original.stdout, 'data');
process.stdout.write(first);

// The original now sleeps in read(2). A clone starts there too, with streams of its own.
for (const name of ['first', 'second']) {
  const clone = original.fork({ stdin: 'pipe', stdout: 'pipe' });
  const { rss, sharedPageTables } = clone.memory();
  console.log(
    `the ${name} clone: ${rss} bytes resident, ${sharedPageTables} bytes of tables shared`,
  );
  clone.stdin.end(`the ${name} clone runs\n`);
  for await (const chunk of clone.stdout) process.stdout.write(chunk);
  console.log(`the ${name} clone ended with ${(await clone.wait()).code}`);
}

original.stdin.end();
await original.wait();
await machine.dispose();
