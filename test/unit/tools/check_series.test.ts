import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  checkProofs,
  checkSeries,
  namesProof,
  parseSeries,
  patchTags,
} from '../../../tools/check_series.ts';

const ROWS = Array.from(
  { length: 14 },
  (_, i) => `| ${String(i + 1).padStart(2, '0')} | subject | \`a.ts\` | | | planned |`,
);

function table(patch02: string): string {
  return [
    '| patch | subject | files | functions | tests | status |',
    ...ROWS.with(1, patch02),
  ].join('\n');
}

function check(row: string, text: string): string[] {
  return checkSeries(
    table(row),
    new Map([['mm/cow_pte.ts', text]]),
    (path) => path === 'series/02.test.ts',
  );
}

const GOOD_ROW = '| 02 | fork | `mm/cow_pte.ts` | `cowPteRange` | `series/02.test.ts` | done |';
const GOOD_TEXT = '/** @patch 02/14 */ export function cowPteRange() {}';

describe('parseSeries()', () => {
  it('reads files, functions and tests from code spans', () => {
    const [row] = parseSeries(
      '| 02 | fork | `a.ts`, `b.ts` | `f` | `t.test.ts` | partial: no swap |',
    );
    assert.deepEqual(row, {
      patch: '02',
      files: ['a.ts', 'b.ts'],
      functions: ['f'],
      tests: ['t.test.ts'],
      status: 'partial: no swap',
    });
  });
});

describe('patchTags()', () => {
  it('reads several patches of one tag', () => {
    assert.deepEqual(patchTags('@patch 02/14, 14/14\n@patch 03/14'), ['02', '14', '03']);
  });
});

describe('checkSeries()', () => {
  it('accepts a table that agrees with the sources', () => {
    assert.deepEqual(check(GOOD_ROW, GOOD_TEXT), []);
  });

  it('reports a missing file, function, test and tag', () => {
    assert.deepEqual(check('| 02 | fork | `mm/gone.ts` | `f` | `series/x.test.ts` | done |', ''), [
      'patch 02: no file src/mm/gone.ts',
      'patch 02: none of its files exports f',
      'patch 02: no test test/series/x.test.ts',
      'patch 02: none of its files has the tag @patch 02/14',
    ]);
  });

  it('refuses a finished row without a test and a status that says nothing', () => {
    assert.deepEqual(check('| 02 | fork | `mm/cow_pte.ts` | `cowPteRange` | | done |', GOOD_TEXT), [
      'patch 02: is done without a test',
    ]);
    assert.deepEqual(check(GOOD_ROW.replace('done', 'partial:'), GOOD_TEXT).length, 1);
  });

  it('reports a tag outside the row of its patch', () => {
    assert.deepEqual(check(GOOD_ROW, `${GOOD_TEXT} /** @patch 03/14 */`), [
      'src/mm/cow_pte.ts: tagged @patch 03/14, not in that row',
    ]);
  });

  it('wants all 14 rows', () => {
    assert.match(checkSeries('', new Map(), () => true)[0] ?? '', /^rows are , want 01 02/);
  });
});

describe('namesProof()', () => {
  it('finds a name alone and in a list, and no longer one', () => {
    assert.ok(namesProof("it('drops nothing else (D1)', () => {", 'D1'));
    assert.ok(namesProof("  it('counts (I2, I3)', () => {", 'I3'));
    assert.ok(namesProof("describe('a fork (I6)', () => {", 'I6'));
    assert.ok(!namesProof("it('drops (D11)', () => {", 'D1'));
    assert.ok(!namesProof('// see (D1)', 'D1'));
  });
});

describe('checkProofs()', () => {
  it('wants every defect and invariant, and a test named after each', () => {
    assert.match(checkProofs('| D1 | a | b | planned |', () => '')[0] ?? '', /want D1 D2/);
    const problems = checkProofs('| D1 | a | b | `x.test.ts` |', () => "it('nothing', () => {");
    assert.equal(problems[1], 'D1: test/x.test.ts has no test named (D1)');
  });
});
