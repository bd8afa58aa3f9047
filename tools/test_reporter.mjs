/**
 * Prints a line a test file, every failure, every skip with its reason, and as the last line
 * `N passed, N failed, N skipped`, which .ci/run adds up. Plain JavaScript: the test runner loads
 * it before any TypeScript loader is in place.
 */

import { relative } from 'node:path';
import { inspect } from 'node:util';

/** Longer messages are differences of data that nobody reads to the end. */
const MESSAGE_LINES = 40;
const MESSAGE_COLUMNS = 300;

/** Message and stack; an assertion's stack has lost its message on the way from the test's process. */
function errorText({ message, stack = '' }) {
  const frames = stack.split('\n').filter((line) => /^\s+at (?!.*node:internal)/.test(line));
  const lines = message.split('\n').map((line) => line.slice(0, MESSAGE_COLUMNS));
  return [...lines.slice(0, MESSAGE_LINES), ...frames].join('\n');
}

function describeError(error) {
  if (error === undefined) return '';
  const cause = error.cause ?? error;
  const text = cause instanceof Error ? errorText(cause) : inspect(cause);
  return text.replace(/^/gm, '    ');
}

function fileLine(file, { passed, failed, skipped, ms }) {
  const counts = [`${passed} passed`];
  if (failed > 0) counts.push(`${failed} FAILED`);
  if (skipped > 0) counts.push(`${skipped} skipped`);
  return `${relative(process.cwd(), file)}: ${counts.join(', ')} (${(ms / 1000).toFixed(1)} s)\n`;
}

/** A suite fails because a test inside it did; that one was counted. */
function countedInside({ details }) {
  return details?.type === 'suite' && details.error?.failureType === 'subtestsFailed';
}

/** Counts one finished test and returns what to print about it. */
function judge(type, data, name, tally) {
  const where = `${name} (${relative(process.cwd(), data.file ?? '')})`;
  if (type === 'test:fail') {
    if (countedInside(data)) return '';
    tally.failed++;
    return `FAILED ${where}\n${describeError(data.details?.error)}\n`;
  }
  if (data.skip !== undefined && data.skip !== false) {
    tally.skipped++;
    const reason =
      typeof data.skip === 'string' && data.skip !== '' ? data.skip : 'no reason given';
    return `skipped ${where}: ${reason}\n`;
  }
  if (data.details?.type !== 'suite') tally.passed++;
  return '';
}

export default async function* report(source) {
  const files = new Map();
  const path = [];
  for await (const { type, data } of source) {
    if (type === 'test:stdout' || type === 'test:stderr') yield data.message;
    // What a test says of itself; the runner's own sums have no file.
    if (type === 'test:diagnostic' && data.file !== undefined) yield `${data.message}\n`;
    if (type === 'test:start') {
      path.length = data.nesting;
      path.push(data.name);
    }
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    const file = data.file ?? 'unknown file';
    const tally = files.get(file) ?? { passed: 0, failed: 0, skipped: 0, ms: 0 };
    files.set(file, tally);
    if (data.nesting === 0) tally.ms += data.details?.duration_ms ?? 0;
    const text = judge(type, data, [...path.slice(0, data.nesting), data.name].join(' > '), tally);
    if (text !== '') yield text;
  }
  yield '\n';
  for (const [file, tally] of files) yield fileLine(file, tally);
  const sum = (key) => [...files.values()].reduce((total, tally) => total + tally[key], 0);
  yield `${sum('passed')} passed, ${sum('failed')} failed, ${sum('skipped')} skipped\n`;
}
