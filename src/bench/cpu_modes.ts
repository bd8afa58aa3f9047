/** How the processor benchmark runs its programs: natively, under qemu-user, with and without JIT. */

import { basename, join } from 'node:path';
import { type NativeBuild, buildNative, guestProgramPath } from './guest_files.ts';
import { type HostCommand, findProgram } from './host_command.ts';
import type { PreparedWorkload } from './workloads.ts';

export type CpuModeName = 'native' | 'qemu' | 'interp' | 'jit';

/** One way to run a program of the benchmark. */
export interface CpuMode {
  readonly name: CpuModeName;
  kernel(program: string, args: readonly string[]): HostCommand;
  /** Undefined where this host has no such program. */
  workload(workload: PreparedWorkload): HostCommand | undefined;
}

/** Where the modes find what they run. */
export interface CpuModeOptions {
  /** Command line that starts cowshed itself. */
  readonly cowshed: readonly [string, ...string[]];
  /** Root file system with the riscv64 programs of the workloads. */
  readonly rootfs: string | null;
  /** Working directory of the kernels. */
  readonly scratch: string;
  /** Value of `--memory` for each machine. */
  readonly memory?: string | undefined;
  /** False leaves out the native mode. */
  readonly native?: boolean | undefined;
}

/** The programs of kernels. */
const KERNEL_PROGRAMS = ['cpu_kernels', 'float_kernels'];
const QEMU = ['qemu-riscv64', 'qemu-riscv64-static'];
/** Where a machine sees the folder of a workload. */
const GUEST_FOLDER = '/bench';
/** The same for every program, whatever this host's settings are. */
const PROGRAM_ENV = { PATH: '/usr/bin:/bin', HOME: '/root', LC_ALL: 'C' };

function nativeMode(path: (name: string) => string, scratch: string): CpuMode {
  return {
    name: 'native',
    kernel: (program, args) => ({ command: path(program), args, cwd: scratch, env: PROGRAM_ENV }),
    workload({ program, args, folder, stdin, hostProgram }) {
      const command = hostProgram ?? findProgram(program);
      if (command === undefined) return undefined;
      return { command, args, cwd: folder, env: PROGRAM_ENV, stdin };
    },
  };
}

function qemuMode(qemu: string, rootfs: string | null, scratch: string): CpuMode {
  const env = { ...PROGRAM_ENV };
  return {
    name: 'qemu',
    kernel: (program, args) => ({
      command: qemu,
      args: [guestProgramPath(program), ...args],
      cwd: scratch,
      env,
    }),
    workload({ program, args, folder, stdin, guestProgram }) {
      const path = guestProgram ?? join(rootfs ?? '/', 'usr/bin', program);
      const root = rootfs === null ? [] : ['-L', rootfs];
      return {
        command: qemu,
        args: [...root, '-0', program, path, ...args],
        cwd: folder,
        env,
        stdin,
      };
    },
  };
}

function machineMode(name: 'interp' | 'jit', options: CpuModeOptions): CpuMode {
  const [command, ...prefix] = options.cowshed;
  const { COWSHED_ROOTFS: _rootfs, ...inherited } = process.env;
  const env = { ...inherited, COWSHED_JIT: name === 'jit' ? 'on' : 'off' };
  const memory = options.memory === undefined ? [] : ['--memory', options.memory];
  const run = [...prefix, 'run', '--stats', '-e', 'LC_ALL=C', ...memory];
  const root = options.rootfs === null ? [] : ['--rootfs', options.rootfs];
  return {
    name,
    kernel: (program, args) => ({
      command,
      args: [...run, guestProgramPath(program), ...args],
      cwd: options.scratch,
      env,
    }),
    workload({ program, args, folder, stdin, guestProgram }) {
      const volume = ['-v', `${folder}:${GUEST_FOLDER}:ro`, '-w', GUEST_FOLDER];
      const path =
        guestProgram === undefined ? program : `${GUEST_FOLDER}/${basename(guestProgram)}`;
      return {
        command,
        args: [...run, ...root, ...volume, path, ...args],
        cwd: folder,
        env,
        stdin,
      };
    },
  };
}

/** The modes that this host has, and a line for each that it lacks. */
interface CpuModes {
  readonly modes: readonly CpuMode[];
  readonly skipped: readonly string[];
  readonly dispose: () => void;
}

function nativeBuild(options: CpuModeOptions): NativeBuild {
  if (options.native === false) return { ok: false, reason: 'not asked for' };
  return buildNative(KERNEL_PROGRAMS);
}

export function cpuModes(options: CpuModeOptions): CpuModes {
  const build = nativeBuild(options);
  const modes: CpuMode[] = build.ok ? [nativeMode(build.path, options.scratch)] : [];
  const skipped = build.ok ? [] : [`native times left out: ${build.reason}`];
  const qemu = QEMU.map(findProgram).find((path) => path !== undefined);
  if (qemu !== undefined) modes.push(qemuMode(qemu, options.rootfs, options.scratch));
  else skipped.push(`qemu times left out: this host has no ${QEMU[0]}`);
  modes.push(machineMode('interp', options), machineMode('jit', options));
  return { modes, skipped, dispose: build.ok ? build.dispose : () => undefined };
}
