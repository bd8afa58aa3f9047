/** Finds the guest programs that the package brings along, and builds them for the host. */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where below guest/ the sources of programs are. */
const PROGRAM_FOLDERS = ['bench', 'programs', 'kselftest'];
/** Compilers to try for the native programs, after $CC. */
const COMPILERS = ['cc', 'gcc', 'clang'];

const NATIVE_FLAGS = [
  '-std=gnu11',
  '-O2',
  '-ffreestanding',
  '-fno-stack-protector',
  '-fno-pie',
  '-fno-asynchronous-unwind-tables',
  '-ffunction-sections',
  // As guest/Makefile: results of floating point have the same bits everywhere.
  '-ffp-contract=off',
  '-fno-math-errno',
  '-w',
  '-nostdlib',
  '-static',
  '-no-pie',
  '-Wl,--gc-sections',
];

/** The package's guest folder, wherever this file was bundled to. */
function guestFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'guest', 'bin'))) {
    const parent = dirname(folder);
    if (parent === folder)
      throw new Error('Cannot find guest programs: no folder above has guest/bin');
    folder = parent;
  }
  return join(folder, 'guest');
}

/** The riscv64 ELF file of a guest program. */
export function guestProgram(name: string): Uint8Array {
  return readFileSync(guestProgramPath(name));
}

/** Host path of the riscv64 ELF file of a guest program. */
export function guestProgramPath(name: string): string {
  return join(guestFolder(), 'bin', name);
}

/** Guest programs built for the host, or the reason why there are none. */
export type NativeBuild =
  | { readonly ok: true; readonly path: (name: string) => string; readonly dispose: () => void }
  | { readonly ok: false; readonly reason: string };

function hostCompiler(): string | undefined {
  const named = process.env['CC'];
  const candidates = named === undefined ? COMPILERS : [named, ...COMPILERS];
  return candidates.find(
    (name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0,
  );
}

function programSource(guest: string, name: string): string {
  const sources = PROGRAM_FOLDERS.map((folder) => join(guest, folder, `${name}.c`));
  return sources.find((path) => existsSync(path)) ?? sources[0]!;
}

/**
 * Builds guest programs with the host's C compiler into a folder of their own.
 * @param names program names without extension
 */
export function buildNative(names: readonly string[]): NativeBuild {
  if (process.platform !== 'linux') return { ok: false, reason: 'the host is not Linux' };
  if (process.arch !== 'x64' && process.arch !== 'arm64') {
    return { ok: false, reason: `the guest sources do not know the host's ${process.arch}` };
  }
  const compiler = hostCompiler();
  if (compiler === undefined) return { ok: false, reason: 'the host has no C compiler' };
  const guest = guestFolder();
  const sources = readdirSync(join(guest, 'lib')).map((file) => join(guest, 'lib', file));
  const out = mkdtempSync(join(tmpdir(), 'cowshed-native-'));
  const dispose = (): void => rmSync(out, { recursive: true, force: true });
  for (const name of names) {
    const program = programSource(guest, name);
    const include = `-I${join(guest, 'include')}`;
    const args = [...NATIVE_FLAGS, include, '-o', join(out, name), program, ...sources];
    const run = spawnSync(compiler, args, { encoding: 'utf8' });
    if (run.status !== 0) {
      dispose();
      const firstLine = (run.stderr ?? '').split('\n')[0] ?? '';
      return { ok: false, reason: `${compiler} cannot build ${name}: ${firstLine}` };
    }
  }
  return { ok: true, path: (name) => join(out, name), dispose };
}
