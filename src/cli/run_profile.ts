/** `cowshed run --profile`: folded stacks, JSON or a page for the file, tables for standard error. */

import type { ProfileOptions } from '../machine/machine.ts';
import type { ProfileCount, ProfiledFunction, ProfileReport } from '../machine/profile/report.ts';
import { CliError } from './exit_code.ts';
import { flameGraphPage } from './flame_graph.ts';
import { type OutputFile, planOutput, writeOutput } from './output_file.ts';
import type { RunFlags } from './run_flags.ts';

const DEFAULT_PROFILE = 'cowshed.folded';
/** Rows of the tables. */
const FUNCTIONS_SHOWN = 20;
const CALLS_SHOWN = 8;
/** Columns of a function's name: C++ has longer ones. */
const NAME_COLUMNS = 60;

/** Where a profile goes. */
export interface ProfileOutput {
  readonly options: ProfileOptions;
  readonly file: OutputFile;
}

function parseInterval(text: string | undefined): ProfileOptions {
  if (text === undefined) return {};
  const interval = Number(text);
  if (text.trim() === '' || !Number.isInteger(interval) || interval <= 0)
    throw new CliError(`Cannot read --profile-interval "${text}": want a number of instructions`);
  return { interval };
}

/** Looks before the program runs whether the file can be written. @throws CliError */
export function planProfile(flags: RunFlags): ProfileOutput | null {
  if (flags.profile === undefined) {
    if (flags.profileInterval === undefined) return null;
    throw new CliError('Cannot use --profile-interval: there is no --profile');
  }
  const path = flags.profile === true || flags.profile === '' ? DEFAULT_PROFILE : flags.profile;
  const options = parseInterval(flags.profileInterval);
  return { options, file: planOutput('profile', path) };
}

/** One line a stack, as flamegraph.pl, inferno and speedscope read it. */
export function formatFolded(report: ProfileReport): string {
  return report.stacks.map(({ frames, samples }) => `${frames.join(';')} ${samples}\n`).join('');
}

function percent(part: number, whole: number): string {
  return `${((100 * part) / whole).toFixed(1)}%`.padStart(6);
}

function functionRows(report: ProfileReport): string[] {
  const { functions, samples } = report;
  const shown = functions.slice(0, FUNCTIONS_SHOWN);
  const cut = ({ name }: ProfiledFunction): string =>
    name.length <= NAME_COLUMNS ? name : `${name.slice(0, NAME_COLUMNS - 3)}...`;
  const width = Math.max('function'.length, ...shown.map((fn) => cut(fn).length));
  const rows = shown.map((fn) => {
    const shares = `${percent(fn.self, samples)}  ${percent(fn.total, samples)}`;
    return `${shares}  ${cut(fn).padEnd(width)}  ${fn.module}`;
  });
  return [`  self   total  ${'function'.padEnd(width)}  module`, ...rows];
}

function countLine(title: string, counts: readonly ProfileCount[]): string[] {
  if (counts.length === 0) return [];
  const count = (n: number): string => n.toLocaleString('en-US');
  const shown = counts.slice(0, CALLS_SHOWN).map(({ name, count: n }) => `${name} ${count(n)}`);
  const rest = counts.slice(CALLS_SHOWN).reduce((sum, { count: n }) => sum + n, 0);
  const others = rest === 0 ? [] : [`others ${count(rest)}`];
  return [`${title}: ${[...shown, ...others].join(', ')}`];
}

/** Lines for standard error. */
export function formatProfile(report: ProfileReport, path: string): string {
  const { samples, interval, incomplete } = report;
  const each = interval.toLocaleString('en-US');
  const cut = incomplete === 0 ? '' : `, ${incomplete} without their outermost callers`;
  const lines = [
    `profile: ${samples} samples, one each ${each} instructions${cut}, in "${path}"`,
    ...(samples === 0 ? [] : functionRows(report)),
    ...countLine('system calls', report.systemCalls),
    ...countLine('page faults', report.pageFaults),
  ];
  return lines.map((line) => `cowshed: ${line}\n`).join('');
}

function contents(report: ProfileReport, path: string): string {
  if (path.endsWith('.json')) return `${JSON.stringify(report)}\n`;
  if (path.endsWith('.html')) return flameGraphPage(report);
  return formatFolded(report);
}

/** Writes what there is, also of a program that was killed. Nothing when none has run. @throws CliError */
export function writeProfile({ file }: ProfileOutput, report: ProfileReport | null): void {
  if (report === null || report.pageFaults.length === 0) return;
  const { path } = file;
  writeOutput(file, contents(report, path));
  process.stderr.write(formatProfile(report, path));
}
