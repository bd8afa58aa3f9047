/** Which program `cowshed run PROGRAM` means, and how it gets into the guest. */

import { readFileSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { LOOKUP_DIRECTORY, LOOKUP_FOLLOW, pathLookup } from '../fs/namei.ts';
import { ROOT_CRED } from '../kernel/task.ts';
import type { Machine } from '../machine/machine.ts';
import type { Process } from '../machine/process.ts';
import { AT_FDCWD } from '../uapi/fcntl.ts';
import { CliError, EXIT_CANNOT_EXECUTE, EXIT_NOT_FOUND, oneLine } from './exit_code.ts';

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

/** Whether the guest has something at this absolute path. @param flags LOOKUP_DIRECTORY or 0. */
function guestHas(machine: Machine, path: string, flags = 0): boolean {
  const fs = machine.internals.rootFs;
  if (fs === null) return false;
  const bytes = Buffer.from(path, 'utf8').toString('latin1');
  const ctx = { fs, files: null, cred: ROOT_CRED };
  const found = pathLookup(ctx, AT_FDCWD, bytes, LOOKUP_FOLLOW | flags);
  return typeof found !== 'number';
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
  if (statSync(program, { throwIfNoEntry: false }) === undefined) return ofGuest;
  return { program, paths: [`${HOST_PROGRAMS}/${basename(program)}`], hostFile: program };
}

/** Brings a program of the host into the guest. @throws CliError 126 when it cannot be read. */
export function copyProgram(machine: Machine, target: Target): void {
  const { hostFile } = target;
  if (hostFile === null) return;
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(hostFile);
  } catch (error) {
    const cause = errorCode(error) === 'EISDIR' ? 'it is a directory' : oneLine(error);
    throw new CliError(`Cannot run "${hostFile}": ${cause}`, EXIT_CANNOT_EXECUTE, error);
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
    if (path.startsWith('/') && !guestHas(machine, path)) continue;
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
