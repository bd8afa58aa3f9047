/**
 * Runs C programs that print what they see on three kernels - cowshed with and without shared
 * page tables, and the host's own - and compares the output line by line. The programs leave
 * out what may differ: addresses, times, process ids.
 */

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { arch, platform, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { withMachine } from '../guest.ts';

const SOURCES = dirname(fileURLToPath(import.meta.url));
const PROGRAMS = [
  'corners',
  'files',
  'memory',
  'pipes',
  'proc_memory',
  'processes',
  'signals',
  'sockets',
  'userfaultfd',
];
const CFLAGS = ['-O1', '-w', '-pthread', '-static'];
const ENVIRONMENT = { PATH: '/bin:/usr/bin', A: '1' };
const MEMORY = 512 * 1024 ** 2;
/** A program that hangs is killed after this many ms. */
const TIMEOUT_MS = 30_000;
/** Runs of a program that may differ before it has failed. */
const ATTEMPTS = 3;
/** The guest's files are on a tmpfs, so the host's must be. */
const HOST_TMPFS = '/dev/shm';

function works(compiler: string): boolean {
  return spawnSync(compiler, ['--version'], { stdio: 'ignore' }).status === 0;
}

/** Why the comparison cannot be made here, or false. */
function whyNot(): string | false {
  if (platform() !== 'linux') return 'the host is not Linux';
  if (!works('riscv64-linux-gnu-gcc')) return 'riscv64-linux-gnu-gcc is missing';
  if (!works('gcc')) return 'gcc is missing';
  if (process.getuid?.() !== 0) return 'the programs change user ids and want root';
  if (!existsSync(HOST_TMPFS)) return `${HOST_TMPFS} is missing`;
  return false;
}

async function text(stream: Readable): Promise<string> {
  let all = '';
  for await (const chunk of stream) all += (chunk as Buffer).toString('latin1');
  return all;
}

async function runInGuest(program: string, cowPte: boolean): Promise<string> {
  return withMachine({ memory: MEMORY, cowPte }, async (machine) => {
    machine.writeFile('/tmp/prog', readFileSync(program), 0o755);
    machine.mkdir('/tmp/work');
    const guest = machine.spawn('/tmp/prog', ['prog'], {
      cwd: '/tmp/work',
      env: ENVIRONMENT,
      stdin: 'null',
      stdout: 'pipe',
      stderr: 'pipe',
    });
    const timeout = setTimeout(() => guest.kill('SIGKILL'), TIMEOUT_MS);
    const output = Promise.all([text(guest.stdout), text(guest.stderr)]);
    const { code, signal } = await guest.wait();
    clearTimeout(timeout);
    const [stdout, stderr] = await output;
    return `${stdout}${stderr}ended with ${signal ?? code}\n`;
  });
}

function runOnHost(program: string): string {
  const folder = mkdtempSync(join(HOST_TMPFS, 'conformance-'));
  try {
    mkdirSync(join(folder, 'work'));
    copyFileSync(program, join(folder, 'prog'));
    const run = spawnSync(join(folder, 'prog'), [], {
      argv0: 'prog',
      cwd: join(folder, 'work'),
      env: ENVIRONMENT,
      timeout: TIMEOUT_MS,
      killSignal: 'SIGKILL',
      stdio: ['ignore', 'pipe', 'pipe'],
      encoding: 'latin1',
    });
    return `${run.stdout}${run.stderr}ended with ${run.signal ?? run.status}\n`;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const skip = whyNot();

describe('conformance with Linux', { skip }, () => {
  let built = '';
  before(() => {
    built = mkdtempSync(join(tmpdir(), 'conformance-'));
  });
  after(() => {
    rmSync(built, { recursive: true, force: true });
  });

  const compile = (compiler: string, name: string): string => {
    const program = join(built, `${name}.${compiler}`);
    execFileSync(compiler, [...CFLAGS, join(SOURCES, `${name}.c`), '-o', program, '-lrt']);
    return program;
  };

  /** Runs one program everywhere. @throws AssertionError naming the lines that differ. */
  const compare = async (riscv: string, host: string): Promise<void> => {
    const shared = await runInGuest(riscv, true);
    const copied = await runInGuest(riscv, false);
    assert.deepEqual(shared.split('\n'), copied.split('\n'), 'shared page tables or not');
    assert.deepEqual(shared.split('\n'), runOnHost(host).split('\n'), 'cowshed and the host');
  };

  for (const name of PROGRAMS) {
    it(`sees the same on all kernels: ${name}`, async (t) => {
      const riscv = compile('riscv64-linux-gnu-gcc', name);
      const host = arch() === 'riscv64' ? riscv : compile('gcc', name);
      // The programs wait for real time; on a busy host a race in one of three runs is not a
      // difference between kernels. One that is there stays there.
      for (let attempt = 1; ; attempt++) {
        try {
          await compare(riscv, host);
          return;
        } catch (error) {
          if (attempt === ATTEMPTS) throw error;
          t.diagnostic(`${name}: run ${attempt} differed: ${(error as Error).message}`);
        }
      }
    });
  }
});
