/** Programs that generate code while they run: LuaJIT, SBCL's compiler, and dprint's WebAssembly. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runCli } from './cli.ts';

const repository = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const root = process.env['COWSHED_ROOTFS'] ?? join(repository, '.cowshed', 'rootfs');
const hasQemu = spawnSync('qemu-riscv64', ['--version']).status === 0;
/** Whether cowshed's own compiler is on: generated code is compiled again, or not. */
const JIT = ['off', 'on'];

function skipWithout(program: string): string | false {
  if (!hasQemu) return 'this host has no qemu-riscv64';
  if (existsSync(join(root, 'usr/bin', program))) return false;
  return `no ${program} in a Debian root here: cowshed pull --lock debian.lock.json makes one`;
}

const scratch = mkdtempSync(join(tmpdir(), 'cowshed-jit-'));
after(() => rmSync(scratch, { recursive: true }));

/** Runs a program in cowshed, and under qemu, where the scratch directory has the same name. */
async function compare(args: readonly string[], input = ''): Promise<string> {
  const [program = '', ...rest] = args;
  const path = program.startsWith('/') ? program : join(root, 'usr/bin', program);
  const wanted = spawnSync('qemu-riscv64', ['-L', root, '-0', program, path, ...rest], {
    input,
    env: { ...process.env, DPRINT_CACHE_DIR: join(scratch, 'cache') },
  });
  assert.equal(wanted.status, 0, wanted.stderr.toString());
  const expected = wanted.stdout.toString('latin1');
  for (const jit of JIT) {
    const env = { COWSHED_ROOTFS: root, COWSHED_JIT: jit };
    const volume = ['--volume', `${scratch}:${scratch}`];
    const done = await runCli(['run', '--memory', '2g', ...volume, '-i', ...args], { env, input });
    assert.equal(done.code, 0, done.stderr);
    assert.equal(done.stdout, expected, `jit ${jit}`);
  }
  return expected;
}

const LUA = `
assert(jit.status())
local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
local t = {}
for i = 1, 100000 do t[i] = (i * 7919) % 100003 end
table.sort(t)
local s = 0
for i = 1, #t do s = (s * 31 + t[i]) % 1000000007 end
print(s, fib(22))
local x = 0.0
for i = 1, 1000000 do x = x + math.sin(i) / i end
print(string.format('%.17g', x))
-- New traces all the time, and the old ones thrown away.
for round = 1, 30 do
  local f = loadstring('local s = 0 for i = 1, 3000 do s = s + i % ' .. round .. ' end return s')
  io.write(f(), ' ')
  if round % 10 == 0 then jit.flush() end
end
local ffi = require('ffi')
local a = ffi.new('uint32_t[?]', 4096)
for i = 0, 4095 do a[i] = i * 2654435761 end
local h = 0
for r = 1, 50 do for i = 0, 4095 do h = bit.bxor(bit.rol(h, 5), a[i]) end end
print(h)
`;

const LISP = `
(defun compiled (k)
  (compile nil (list 'lambda '(n) (list 'let '((s 0)) (list 'dotimes '(i n s)
    (list 'setf 's (list 'mod (list '+ 's (list '* 'i k)) 1000003)))))))
(dotimes (k 20) (format t "~d~%" (funcall (compiled k) 20000)))
(defun collatz (n) (loop until (= n 1) count t do (setf n (if (evenp n) (/ n 2) (1+ (* 3 n))))))
(format t "~d~%" (loop for n from 1 to 20000 maximize (collatz n)))
(format t "~,12f~%" (loop for i from 1 to 100000 sum (/ 1d0 (* i i))))
(gc :full t)
(format t "~d~%" (funcall (compiled 7) 20000))
(sb-ext:exit)
`;

const DPRINT = ['@dprint/linux-riscv64-glibc@0.54.0', '@dprint/json@0.24.0'] as const;

/** Unpacks dprint and a plugin of it from the npm registry. @returns why that is not possible, or null. */
function fetchDprint(): string | null {
  for (const [n, name] of DPRINT.entries()) {
    const to = join(scratch, String(n));
    mkdirSync(to);
    const packed = spawnSync('npm', ['pack', '--silent', '--pack-destination', to, name], {
      timeout: 120_000,
    });
    const file = packed.stdout?.toString().trim().split('\n').at(-1) ?? '';
    if (packed.status !== 0 || file === '') return `npm pack ${name} failed here`;
    const untarred = spawnSync('tar', ['xzf', join(to, file), '-C', to]);
    if (untarred.status !== 0) return `tar cannot unpack ${file}`;
  }
  return null;
}

describe('programs that generate code', () => {
  it('run as under qemu: luajit', { skip: skipWithout('luajit') }, async () => {
    const script = join(scratch, 'test.lua');
    writeFileSync(script, LUA);
    await compare(['luajit', script]);
    await compare(['luajit', '-O1', script]);
  });

  it('run as under qemu: sbcl', { skip: skipWithout('sbcl') }, async () => {
    const script = join(scratch, 'test.lisp');
    writeFileSync(script, LISP);
    const output = await compare(['sbcl', '--script', script]);
    assert.equal(output.trim().split('\n').length, 23);
  });

  it('run as under qemu: dprint', { skip: skipWithout('bash') }, async (t) => {
    const reason = fetchDprint();
    if (reason !== null) return t.skip(reason);
    const config = join(scratch, 'dprint.json');
    const plugins = [join(scratch, '1/package/plugin.wasm')];
    writeFileSync(config, JSON.stringify({ json: { lineWidth: 60 }, plugins }));
    const input = JSON.stringify({ a: [1, 2, { b: null }], c: 'x'.repeat(80), d: { e: 1.5 } });
    const dprint = join(scratch, '0/package/dprint');
    const output = await compare([dprint, 'fmt', '--config', config, '--stdin', 'x.json'], input);
    assert.deepEqual(JSON.parse(output), JSON.parse(input));
    assert.ok(output.includes('\n'));
  });
});
