/** Exit codes of the command line, as docker run and POSIX shells have them, and its own errors. */

/** cowshed itself failed: bad flags, no root file system, out of memory. */
export const EXIT_COWSHED = 125;
/** The program was found but cannot be executed. */
export const EXIT_CANNOT_EXECUTE = 126;
/** The program was not found. */
export const EXIT_NOT_FOUND = 127;
/** Added to the number of the signal that ended the program. */
export const EXIT_SIGNAL = 128;

/** Ends the command with one line and an exit code. */
export class CliError extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode: number = EXIT_COWSHED, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'CliError';
    this.exitCode = exitCode;
  }
}

/** The text of anything that was thrown, on one line. */
export function oneLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/\s*\n\s*/g, '; ');
}

/** A failed call to the host as the error of a command: `Cannot open "/x": permission denied`. */
export function hostErrorLine(error: unknown): string {
  const line = oneLine(error);
  const [, cause, call, path] = /^[A-Z0-9]+: (.*?), (\w+)(?: '(.*)')?$/.exec(line) ?? [];
  if (cause === undefined) return line;
  return `Cannot ${call}${path === undefined ? '' : ` "${path}"`}: ${cause}`;
}
