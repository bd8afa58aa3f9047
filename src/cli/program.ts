/** The commands of `cowshed` and what they have in common. */

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { benchCommand } from './bench.ts';
import { demoCommand } from './demo.ts';
import { pullCommand } from './pull.ts';
import { runCommand } from './run.ts';

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
