/** A file that a command writes at its end: in full, or not at all. */

import {
  closeSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { CliError, oneLine } from './exit_code.ts';

/** Where it goes. It is written beside its place first, and then renamed. */
export interface OutputFile {
  /** What it is, for messages. */
  readonly what: string;
  /** As the user named it. */
  readonly path: string;
  /** Behind symbolic links. */
  readonly target: string;
  /** What is written and then renamed; `target` itself when that is a pipe or a device. */
  readonly temporary: string;
}

/** The path behind symbolic links, which stay. */
function targetOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/** Looks before there is anything to write whether it can be. @throws CliError */
export function planOutput(what: string, path: string): OutputFile {
  const target = targetOf(path);
  const special = statSync(target, { throwIfNoEntry: false })?.isFile() === false;
  const temporary = special ? target : `${target}.${process.pid}.tmp`;
  try {
    if (!special) {
      closeSync(openSync(temporary, 'w'));
      rmSync(temporary);
    }
  } catch (error) {
    throw new CliError(`Cannot write ${what} "${path}": ${oneLine(error)}`);
  }
  return { what, path, target, temporary };
}

/** @throws CliError */
export function writeOutput(output: OutputFile, contents: string): void {
  const { what, path, temporary, target } = output;
  try {
    writeFileSync(temporary, contents);
    if (temporary !== target) renameSync(temporary, target);
  } catch (error) {
    if (temporary !== target) rmSync(temporary, { force: true });
    throw new CliError(`Cannot write ${what} "${path}": ${oneLine(error)}`);
  }
}
