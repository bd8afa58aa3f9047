/** Which program `cowshed run PROGRAM` means, and how it gets into the guest. */

import { readFileSync, statSync, type Stats } from 'node:fs';
import { basename } from 'node:path';
import { LOOKUP_DIRECTORY, LOOKUP_FOLLOW, pathLookup } from '../fs/namei.ts';
import { ROOT_CRED } from '../kernel/task.ts';
import type { Machine } from '../machine/machine.ts';
import type { Process } from '../machine/process.ts';
import { ENOENT, ENOTDIR } from '../uapi/errno.ts';
import { AT_FDCWD } from '../uapi/fcntl.ts';
import {
  CliError,
  EXIT_CANNOT_EXECUTE,
  EXIT_NOT_FOUND,
  hostErrorLine,
  oneLine,
} from './exit_code.ts';

/** Guest directory for programs that are loaded from the host. */
const HOST_PROGRAMS = '/host';
/** Errors of exec that mean "there is no such program"; all others mean "it cannot be executed". */
const NOT_FOUND_CODES = new Set(['ENOENT', 'ENOTDIR']);

/** Where the program is. */
export interface Target {
  /** As the user named it. */
  readonly program: string;
  /** Guest paths to try, in order. */
  readonly paths: readonly string[];
  /** Host file to copy to the first path; null when the guest has it. */
  readonly hostFile: string | null;
}

function errorCode(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : '';
}

/** Looks an absolute path up in the guest. @param flags LOOKUP_DIRECTORY or 0. @returns 0 or -errno. */
function guestLookup(machine: Machine, path: string, flags = 0): number {
  const fs = machine.internals.rootFs;
  if (fs === null) return -ENOENT;
  const bytes = Buffer.from(path, 'utf8').toString('latin1');
  const ctx = { fs, files: null, cred: ROOT_CRED };
  const found = pathLookup(ctx, AT_FDCWD, bytes, LOOKUP_FOLLOW | flags);
  return typeof found === 'number' ? found : 0;
}

function guestHas(machine: Machine, path: string, flags = 0): boolean {
  return guestLookup(machine, path, flags) === 0;
}

/** The error of a host call in words, with the exit code that shells give. */
function hostFailure(program: string, error: unknown): CliError {
  const cause = hostErrorLine(error).replace(/^Cannot \w+ ".*": /, '');
  const code = NOT_FOUND_CODES.has(errorCode(error)) ? EXIT_NOT_FOUND : EXIT_CANNOT_EXECUTE;
  return new CliError(`Cannot run "${program}": ${cause}`, code, error);
}

/** @returns undefined when the host has no such file. @throws CliError when it cannot tell. */
function hostStat(program: string): Stats | undefined {
  try {
    return statSync(program, { throwIfNoEntry: false });
  } catch (error) {
    throw hostFailure(program, error);
  }
}

/**
 * Decides what PROGRAM names: a bare name is looked up in the guest's PATH; a relative path is a
 * file of the host, if there is one; an absolute path is the guest's, else the host's.
 */
export function locateProgram(machine: Machine, program: string, path: string): Target {
  if (!program.includes('/')) {
    const dirs = path.split(':').filter((dir) => dir !== '');
    return { program, paths: dirs.map((dir) => `${dir}/${program}`), hostFile: null };
  }
  const ofGuest: Target = { program, paths: [program], hostFile: null };
  if (program.startsWith('/') && guestHas(machine, program)) return ofGuest;
  if (hostStat(program) === undefined) return ofGuest;
  return { program, paths: [`${HOST_PROGRAMS}/${basename(program)}`], hostFile: program };
}

/** Why a file cannot be a program, before it is read: a pipe or device might never end. */
function fileProblem(machine: Machine, stats: Stats | undefined): string | undefined {
  if (stats?.isDirectory() === true) return 'it is a directory';
  if (stats?.isFile() === false) return 'it is not a regular file';
  if (stats !== undefined && stats.size > machine.stats().freeBytes) {
    return "it is larger than the machine's memory";
  }
  return undefined;
}

/** Brings a program of the host into the guest. @throws CliError 126 when it cannot be read. */
export function copyProgram(machine: Machine, target: Target): void {
  const { hostFile } = target;
  if (hostFile === null) return;
  const problem = fileProblem(machine, hostStat(hostFile));
  if (problem !== undefined)
    throw new CliError(`Cannot run "${hostFile}": ${problem}`, EXIT_CANNOT_EXECUTE);
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(hostFile);
  } catch (error) {
    throw hostFailure(hostFile, error);
  }
  machine.mkdir(HOST_PROGRAMS);
  machine.writeFile(target.paths[0] ?? '', bytes, 0o755);
}

/** An error of exec with the path that the user gave and the exit code that shells give. */
function spawnFailure(target: Target, path: string, error: unknown): CliError {
  const message = oneLine(error).replace(`"${path}"`, `"${target.program}"`);
  const notFound = NOT_FOUND_CODES.has(errorCode(error));
  return new CliError(message, notFound ? EXIT_NOT_FOUND : EXIT_CANNOT_EXECUTE, error);
}

/** Whether the machine was given a root file system: an empty one has no /usr. */
function hasRootFiles(machine: Machine): boolean {
  return guestHas(machine, '/usr');
}

/**
 * Starts the first of the target's paths that is there and may be executed.
 *
 * @throws CliError 126 or 127.
 */
export function spawnTarget(
  machine: Machine,
  target: Target,
  spawn: (path: string) => Process,
): Process {
  let failure: CliError | null = null;
  for (const path of target.paths) {
    const found = path.startsWith('/') ? guestLookup(machine, path) : 0;
    if (found === -ENOENT || found === -ENOTDIR) continue;
    try {
      return spawn(path);
    } catch (error) {
      failure ??= spawnFailure(target, path, error);
      // As a shell: one that may not be executed does not hide another further down PATH.
      if (errorCode(error) !== 'EACCES') throw failure;
    }
  }
  if (failure !== null) throw failure;
  const where = target.program.includes('/') ? 'no such file' : "not found in the guest's PATH";
  const hint = hasRootFiles(machine)
    ? ''
    : '; there is no root file system, "cowshed pull" makes one';
  throw new CliError(`Cannot run "${target.program}": ${where}${hint}`, EXIT_NOT_FOUND);
}

/** Makes the working directory, as docker run does. @throws CliError when it is none. */
export function prepareWorkdir(machine: Machine, workdir: string): void {
  if (!workdir.startsWith('/')) {
    throw new CliError(`Cannot use working directory "${workdir}": it is not absolute`);
  }
  if (guestHas(machine, workdir, LOOKUP_DIRECTORY)) return;
  if (guestHas(machine, workdir)) {
    throw new CliError(`Cannot use working directory "${workdir}": it is not a directory`);
  }
  machine.mkdir(workdir);
}
