#!/usr/bin/env node
/** The `cowshed` program: one line and an exit code for everything that goes wrong. */

import { CommanderError } from 'commander';
import { DebianError } from '../debian/error.ts';
import { CliError, EXIT_COWSHED, EXIT_SIGNAL, hostErrorLine, oneLine } from './exit_code.ts';
import { createProgram } from './program.ts';
import { markOptionalValues } from './run.ts';

const SIGINT = 2;

/** @returns the exit code for what ended the command. */
function report(error: unknown): number {
  if (error instanceof CommanderError) {
    // Help and version have been printed: these are no errors.
    if (error.exitCode === 0) return 0;
    const message = oneLine(error).replace(/^error: /, '');
    if (error.code !== 'commander.help') process.stderr.write(`cowshed: ${message}\n`);
    return EXIT_COWSHED;
  }
  process.stderr.write(`cowshed: ${hostErrorLine(error)}\n`);
  if (process.env['COWSHED_DEBUG'] !== undefined && error instanceof Error)
    process.stderr.write(`${error.stack ?? ''}\n`);
  if (error instanceof CliError) return error.exitCode;
  if (error instanceof DebianError && error.code === 'ABORTED') return EXIT_SIGNAL + SIGINT;
  return EXIT_COWSHED;
}

async function main(args: readonly string[]): Promise<number> {
  const program = createProgram();
  try {
    if (args.length === 0) {
      program.outputHelp();
      return 0;
    }
    await program.parseAsync(markOptionalValues(program, args), { from: 'user' });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    return report(error);
  }
}

/** Waits until everything written to the stream has left this process. */
function flush(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    stream.write('', () => resolve());
  });
}

// A closed pipe (cowshed pull --json | head) ends the command quietly; cowshed run has its own way.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE' && process.stdout.listenerCount('error') === 1) process.exit(0);
});
// What goes wrong outside of any promise is one line too.
process.on('uncaughtException', (error) => process.exit(report(error)));
const exitCode = await main(process.argv.slice(2));
await Promise.all([flush(process.stdout), flush(process.stderr)]);
// Standard input may still be open: waiting for its end would hang.
process.exit(exitCode);
