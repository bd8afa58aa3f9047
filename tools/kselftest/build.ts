/**
 * Builds the self tests with their own Makefile, against the uapi headers of the same source:
 * statically for riscv64, and for this host.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PullReport } from '../../src/debian/report.ts';
import { folderOf } from './programs.ts';
import type { KernelSource } from './source.ts';

/** Part of the cache key: a change of what is built, or how, needs a new one. */
const RECIPE = 2;

/**
 * The libraries are built for a newer C library than many hosts' cross compilers have: these are
 * the names under which newer headers call functions that exist everywhere.
 */
const ISOC23_SHIM = `
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#define WEAK __attribute__((weak))
WEAK long __isoc23_strtol(const char *s, char **e, int b) { return strtol(s, e, b); }
WEAK unsigned long __isoc23_strtoul(const char *s, char **e, int b) { return strtoul(s, e, b); }
WEAK long long __isoc23_strtoll(const char *s, char **e, int b) { return strtoll(s, e, b); }
WEAK unsigned long long __isoc23_strtoull(const char *s, char **e, int b) { return strtoull(s, e, b); }
WEAK int __isoc23_sscanf(const char *s, const char *f, ...)
{ va_list a; va_start(a, f); int r = vsscanf(s, f, a); va_end(a); return r; }
WEAK int __isoc23_fscanf(FILE *s, const char *f, ...)
{ va_list a; va_start(a, f); int r = vfscanf(s, f, a); va_end(a); return r; }
`;

export type Flavour = 'riscv64' | 'native';

export interface Build {
  /** Directory of the programs. */
  readonly dir: string;
  /** Names whose build failed; make's last lines say why. */
  readonly missing: readonly string[];
}

interface Toolchain {
  /** ARCH of the kernel's top Makefile. */
  readonly kernelArch: string;
  /** ARCH of the self tests' Makefiles. */
  readonly arch: string;
  readonly crossCompile: string;
}

const HOST_MACHINES: Readonly<Record<string, Toolchain>> = {
  x64: { kernelArch: 'x86', arch: 'x86_64', crossCompile: '' },
  arm64: { kernelArch: 'arm64', arch: 'arm64', crossCompile: '' },
  riscv64: { kernelArch: 'riscv', arch: 'riscv64', crossCompile: '' },
};

function toolchain(flavour: Flavour): Toolchain | undefined {
  if (flavour === 'native') return HOST_MACHINES[process.arch];
  return { kernelArch: 'riscv', arch: 'riscv64', crossCompile: 'riscv64-linux-gnu-' };
}

/** @returns the compiler's version, or undefined when it, or a C library for it, is not installed. */
export function compilerVersion(flavour: Flavour): string | undefined {
  const tools = toolchain(flavour);
  if (tools === undefined) return undefined;
  const gcc = `${tools.crossCompile}gcc`;
  const input = '#include <stdio.h>\n';
  if (spawnSync(gcc, ['-E', '-'], { input }).status !== 0) return undefined;
  const run = spawnSync(gcc, ['-dumpfullversion'], { encoding: 'utf8' });
  return run.status === 0 ? run.stdout.trim() : undefined;
}

function make(args: readonly string[]): { ok: boolean; output: string } {
  const run = spawnSync('make', args, { encoding: 'utf8', maxBuffer: 2 ** 26 });
  const output = `${run.stdout ?? ''}${run.stderr ?? run.error?.message ?? ''}`;
  return { ok: run.status === 0, output };
}

/** The uapi headers of the source, as programs include them. @returns their directory. */
function kernelHeaders(source: KernelSource, kernelArch: string): string {
  const out = `${source.dir}-headers-${kernelArch}`;
  const include = join(out, 'usr', 'include');
  if (existsSync(include)) return include;
  const staging = `${out}.${process.pid}`;
  mkdirSync(staging, { recursive: true });
  const args = ['-s', '-C', source.dir, `ARCH=${kernelArch}`, `O=${staging}`, 'headers'];
  const { ok, output } = make(args);
  if (!ok) throw new Error(`Cannot make the kernel's headers: ${output.slice(-2000)}`);
  renameSync(staging, out);
  return include;
}

/** Flags that find the libraries for riscv64; the host's compiler finds its own. */
function riscvFlags(source: KernelSource, dir: string): string[] {
  const shim = join(dir, 'isoc23.o');
  writeFileSync(join(dir, 'isoc23.c'), ISOC23_SHIM);
  const run = spawnSync('riscv64-linux-gnu-gcc', ['-O2', '-c', join(dir, 'isoc23.c'), '-o', shim], {
    encoding: 'utf8',
  });
  if (run.status !== 0) throw new Error(`Cannot compile for riscv64: ${run.stderr}`);
  const include = join(source.libraries, 'usr', 'include');
  const lib = join(source.libraries, 'usr', 'lib', 'riscv64-linux-gnu');
  return [
    `USERCFLAGS=-w -idirafter ${include} -idirafter ${include}/riscv64-linux-gnu`,
    `USERLDFLAGS=-static -L${lib} ${shim}`,
  ];
}

/** Builds what is not there yet of one directory of self tests. @returns make's output. */
function buildFolder(
  source: KernelSource,
  flavour: Flavour,
  tools: Toolchain,
  dir: string,
  folder: string,
  names: readonly string[],
): string {
  const tests = join(source.dir, 'tools', 'testing', 'selftests', folder);
  const headers = kernelHeaders(source, tools.kernelArch);
  // Which libraries there are is found out by a script that writes into the source.
  for (const name of ['local_config.mk', 'local_config.h']) {
    rmSync(join(tests, name), { force: true });
  }
  const { output } = make([
    '-k',
    '-j4',
    '-C',
    tests,
    `ARCH=${tools.arch}`,
    `CROSS_COMPILE=${tools.crossCompile}`,
    `OUTPUT=${dir}`,
    `KHDR_INCLUDES=-isystem ${headers}`,
    ...(flavour === 'riscv64' ? riscvFlags(source, dir) : ['USERCFLAGS=-w']),
    ...names.map((name) => join(dir, name)),
  ]);
  return output;
}

/** Builds what is not there yet. @returns names that could not be built. */
function buildInto(
  source: KernelSource,
  flavour: Flavour,
  tools: Toolchain,
  dir: string,
  names: readonly string[],
): string[] {
  let log = '';
  for (const folder of new Set(names.map(folderOf))) {
    const here = names.filter((name) => folderOf(name) === folder);
    log += buildFolder(source, flavour, tools, dir, folder, here);
  }
  writeFileSync(join(dir, 'make.log'), log);
  return names.filter((name) => !existsSync(join(dir, name)));
}

/**
 * Builds the programs, or finds them built before by the same compiler from the same source.
 *
 * @throws Error when there is no compiler.
 */
export function buildPrograms(
  source: KernelSource,
  flavour: Flavour,
  names: readonly string[],
  workDir: string,
  report: PullReport,
): Build {
  const tools = toolchain(flavour);
  const version = compilerVersion(flavour);
  if (tools === undefined || version === undefined)
    throw new Error(`Cannot build for ${flavour}: no compiler`);
  const libraries = flavour === 'riscv64' ? `-${source.librariesKey}` : '';
  const key = `${source.version}-gcc${version}${libraries}-r${RECIPE}`;
  const dir = join(workDir, `${flavour}-${key}`);
  mkdirSync(dir, { recursive: true });
  const wanted = names.filter((name) => !existsSync(join(dir, name)));
  if (wanted.length === 0) return { dir, missing: [] };
  report.say(`Building ${wanted.length} self tests for ${tools.arch}`);
  const missing = buildInto(source, flavour, tools, dir, wanted);
  if (missing.length > 0)
    report.say(`Not built for ${tools.arch}: ${missing.join(' ')} (${dir}/make.log)`);
  return { dir, missing };
}
