/**
 * Reads what a self test printed. Most print TAP (Documentation/dev-tools/ktap.rst), through
 * kselftest.h or kselftest_harness.h; of some only the exit code counts.
 */

/** Exit codes of a self test. @linux tools/testing/selftests/kselftest.h */
const KSFT_PASS = 0;
const KSFT_SKIP = 4;

export type Outcome = 'pass' | 'xfail' | 'skip' | 'fail';

export interface SubTest {
  readonly name: string;
  readonly outcome: Outcome;
  /** Why it was skipped or how it failed, as far as the program says. */
  readonly reason: string;
}

/** How a program ended. */
export interface Ending {
  /** Null when a signal or the time limit ended it. */
  readonly code: number | null;
  /** `SIGSEGV`, `time limit of 180 s`, `the machine has stopped: ...`; empty when it exited. */
  readonly killed: string;
}

export interface Verdict {
  readonly planned: number;
  readonly tests: readonly SubTest[];
}

export type Counts = Readonly<Record<Outcome, number>>;

export function countOutcomes(tests: readonly SubTest[]): Counts {
  const counts = { pass: 0, xfail: 0, skip: 0, fail: 0 };
  for (const { outcome } of tests) counts[outcome]++;
  return counts;
}

const PLAN = /^1\.\.(\d+)(?:\s+#\s*SKIP\s*(.*))?$/;
const RESULT = /^(not )?ok (\d+)\s*(.*)$/;
const DIRECTIVE = /#\s*(SKIP|XFAIL|XPASS|TIMEOUT|error)\b\s*(.*)$/i;
/** Lines that announce a test or describe the host, and so explain nothing. */
const ANNOUNCEMENT =
  /^\s*(?:\[?(?:RUN|INFO|OK|SKIP|FAIL)\b|Starting \d|Totals:|Planned tests|\d+ skipped test)/;

/** A `#` line or one of standard error, as a reason. */
function remark(line: string): string | null {
  const text = line.replace(/^#\s*/, '').trim();
  return text === '' || ANNOUNCEMENT.test(text) ? null : text;
}

function subTest(failed: boolean, text: string, remarks: readonly string[]): SubTest {
  const directive = DIRECTIVE.exec(text);
  const kind = directive?.[1]?.toUpperCase();
  const before = directive === null ? text : text.slice(0, directive.index).trim();
  const after = directive?.[2]?.trim() ?? '';
  // The harness prints the name before the directive, kselftest.h behind it.
  const name = (before === '' ? after : before).replace(/^-\s*/, '');
  const said = before === '' ? '' : after;
  const reason = said === '' ? (remarks.at(-1) ?? after) : said;
  if (failed) return { name, outcome: 'fail', reason: remarks.join('; ') };
  if (kind === 'SKIP') return { name, outcome: 'skip', reason };
  if (kind === 'XFAIL') return { name, outcome: 'xfail', reason };
  return { name, outcome: kind === undefined ? 'pass' : 'fail', reason: kind ?? '' };
}

interface Parsed {
  planned: number | null;
  skipAll: string | null;
  readonly tests: SubTest[];
  bailOut: string | null;
  lastRemark: string;
}

function parseLines(output: string): Parsed {
  const parsed: Parsed = { planned: null, skipAll: null, tests: [], bailOut: null, lastRemark: '' };
  let remarks: string[] = [];
  for (const line of output.split('\n')) {
    const plan = PLAN.exec(line);
    const result = RESULT.exec(line);
    if (plan !== null) {
      parsed.planned ??= Number(plan[1]);
      if (plan[2] !== undefined) parsed.skipAll = plan[2];
    } else if (result !== null) {
      parsed.tests.push(subTest(result[1] !== undefined, result[3] ?? '', remarks));
      remarks = [];
    } else {
      if (line.startsWith('Bail out!')) parsed.bailOut = line.slice('Bail out!'.length).trim();
      const said = remark(line);
      if (said !== null && !line.startsWith('TAP version')) {
        remarks.push(said);
        parsed.lastRemark = said;
      }
    }
  }
  return parsed;
}

function endingText({ code, killed }: Ending): string {
  return killed === '' ? `exit code ${code}` : killed;
}

/** The verdict on a program that reports no subtests. */
function judgeByExitCode(parsed: Parsed, name: string, ending: Ending): Verdict {
  const { code } = ending;
  if (code === KSFT_SKIP) {
    const reason = parsed.skipAll ?? parsed.lastRemark;
    return { planned: 1, tests: [{ name, outcome: 'skip', reason }] };
  }
  if (code === KSFT_PASS) return { planned: 1, tests: [{ name, outcome: 'pass', reason: '' }] };
  const reason = `${parsed.bailOut ?? parsed.lastRemark} (${endingText(ending)})`;
  return { planned: 1, tests: [{ name, outcome: 'fail', reason }] };
}

/** What is wrong with a program although none of its subtests failed. */
function hiddenFailure(parsed: Parsed, ending: Ending): string | null {
  if (parsed.tests.some(({ outcome }) => outcome === 'fail')) return null;
  if (ending.killed !== '') return ending.killed;
  const { code } = ending;
  if (code === KSFT_PASS) return null;
  // All skipped ends with 4 as well.
  if (code === KSFT_SKIP && parsed.tests.every(({ outcome }) => outcome !== 'pass')) return null;
  return parsed.bailOut ?? endingText(ending);
}

/**
 * Judges a run. Planned subtests that were never reported count as failed, and so does one more
 * when the program ended badly without saying which subtest failed.
 */
export function judge(name: string, output: string, ending: Ending): Verdict {
  const parsed = parseLines(output);
  if (parsed.planned === null || (parsed.planned === 0 && parsed.tests.length === 0))
    return judgeByExitCode(parsed, name, ending);
  const tests = [...parsed.tests];
  const missing = parsed.planned - tests.length;
  const failed = tests.some(({ outcome }) => outcome === 'fail');
  if (ending.code === KSFT_SKIP && !failed && missing > 0) {
    const reason = tests.at(-1)?.name ?? parsed.lastRemark;
    for (let n = 0; n < missing; n++)
      tests.push({ name: `${name} ${n + 1}`, outcome: 'skip', reason });
    return { planned: parsed.planned, tests };
  }
  const why = parsed.bailOut ?? endingText(ending);
  for (let n = tests.length; n < parsed.planned; n++)
    tests.push({ name: `${name} ${n + 1}`, outcome: 'fail', reason: `not reported: ${why}` });
  const hidden = missing > 0 ? null : hiddenFailure(parsed, ending);
  if (hidden !== null) tests.push({ name, outcome: 'fail', reason: hidden });
  return { planned: parsed.planned, tests };
}

/**
 * What two runs of one program may differ in without a difference of behaviour. The kernel's
 * addresses, process numbers and random numbers are the same in both runs of cowshed, so only
 * the clock is masked.
 */
const MASKS: readonly (readonly [RegExp, string])[] = [
  [/\bpattern_seed=\d+/g, 'pattern_seed=SEED'],
  [/\s*\b\d+(?:\.\d+)?\s?(ns|us|usec|ms|msec|s|sec|seconds)\b/g, ' TIME $1'],
];

export function maskLine(line: string): string {
  return MASKS.reduce((text, [pattern, to]) => text.replace(pattern, to), line);
}

/** The first line in which two outputs differ, as both have it; null when there is none. */
export function firstDifference(one: string, other: string): readonly [string, string] | null {
  const [a, b] = [one, other].map((text) => text.split('\n').map(maskLine));
  const length = Math.max(a?.length ?? 0, b?.length ?? 0);
  for (let i = 0; i < length; i++) {
    const [left, right] = [a?.[i] ?? '(no line)', b?.[i] ?? '(no line)'];
    if (left !== right) return [left, right];
  }
  return null;
}
