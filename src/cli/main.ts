#!/usr/bin/env node
/** The `cowshed` command: argument parsing, help, and one line for everything that goes wrong. */

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, CommanderError } from 'commander';
import { DebianError } from '../debian/error.ts';
import { benchCommand } from './bench.ts';
import { demoCommand } from './demo.ts';
import { CliError, EXIT_COWSHED, EXIT_SIGNAL, oneLine } from './exit_code.ts';
import { pullCommand } from './pull.ts';
import { markOptionalValues, runCommand } from './run.ts';

const SIGINT = 2;

/** The version in the package's package.json, wherever this file was bundled to. */
function packageVersion(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const file = join(folder, 'package.json');
    if (existsSync(file))
      return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
    if (folder === dirname(folder)) return 'unknown';
  }
}

/** Applies to a command and all below it: errors are thrown, and said in one line by main(). */
function throwErrors(command: Command): void {
  command.exitOverride().configureOutput({ outputError: () => undefined });
  for (const child of command.commands) throwErrors(child);
}

export function createProgram(): Command {
  const program = new Command('cowshed')
    .description('Runs unmodified riscv64 Linux programs; fork() shares page tables.')
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('--help', 'print this help')
    .helpCommand(false)
    .enablePositionalOptions()
    .showSuggestionAfterError(true);
  for (const command of [runCommand(), pullCommand(), benchCommand(), demoCommand()]) {
    program.addCommand(command.helpOption('--help', 'print this help'));
  }
  throwErrors(program);
  return program;
}

/** @returns the exit code for what ended the command. */
function report(error: unknown): number {
  if (error instanceof CommanderError) {
    // Help and version have been printed: these are no errors.
    if (error.exitCode === 0) return 0;
    const message = oneLine(error).replace(/^error: /, '');
    if (error.code !== 'commander.help') process.stderr.write(`cowshed: ${message}\n`);
    return EXIT_COWSHED;
  }
  process.stderr.write(`cowshed: ${oneLine(error)}\n`);
  if (process.env['COWSHED_DEBUG'] !== undefined && error instanceof Error)
    process.stderr.write(`${error.stack ?? ''}\n`);
  if (error instanceof CliError) return error.exitCode;
  if (error instanceof DebianError && error.code === 'ABORTED') return EXIT_SIGNAL + SIGINT;
  return EXIT_COWSHED;
}

export async function main(args: readonly string[]): Promise<number> {
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

// A closed pipe (cowshed ... | head) ends the command quietly.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
});
process.exitCode = await main(process.argv.slice(2));
