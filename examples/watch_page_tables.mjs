/**
 * Watches what fork does to the page tables of a program, and what its writes do to them then.
 *
 *     node examples/watch_page_tables.mjs
 */

import { readFileSync } from 'node:fs';
import { Machine } from 'cowshed';

const machine = await Machine.create({ memory: 256 * 1024 ** 2 });
const program = readFileSync(new URL('../guest/bin/cow_break', import.meta.url));
machine.writeFile('/tmp/cow_break', program, 0o755);

// Nothing is counted, and nothing is slower, while nobody listens.
const shared = { pud: 0, pmd: 0, pte: 0 };
const broken = { copy: 0, reuse: 0 };
const faults = { read: 0, write: 0, exec: 0 };
let forks = 0;
machine.events.on('tableShared', ({ level }) => shared[level]++);
machine.events.on('tableBroken', ({ how }) => broken[how]++);
machine.events.on('fault', ({ access }) => faults[access]++);
const stop = machine.events.on('fork', ({ pid, child }) => {
  if (++forks === 1) console.log(`process ${pid} forks: its first child is ${child}`);
});

const guest = machine.spawn('/tmp/cow_break', ['cow_break'], { stdout: 'null' });
await guest.wait();
stop();

console.log(`${forks} forks shared ${shared.pud} subtrees of the page tables`);
console.log(`writes then copied ${broken.copy} tables and took ${broken.reuse} over`);
console.log(`faults: ${faults.read} reads, ${faults.write} writes, ${faults.exec} fetches`);
await machine.dispose();
