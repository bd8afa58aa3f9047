import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { countOutcomes, firstDifference, judge } from '../../../tools/kselftest/tap.ts';

const EXITED = { code: 0, killed: '' };

function counts(output: string, ending: { code: number | null; killed: string } = EXITED): string {
  const { planned, tests } = judge('prog', output, ending);
  const { pass, xfail, skip, fail } = countOutcomes(tests);
  return `${planned}: ${pass} ${xfail} ${skip} ${fail}`;
}

describe('judge()', () => {
  it('reads what kselftest.h prints', () => {
    const output = [
      'TAP version 13',
      '1..4',
      'ok 1 first',
      '# mbind: Function not implemented',
      'ok 2 # SKIP mbind() failed',
      'ok 3 # XFAIL third',
      'not ok 4 fourth',
      '# Totals: pass:1 fail:1 xfail:1 xpass:0 skip:1 error:0',
    ].join('\n');
    const { planned, tests } = judge('prog', output, { code: 1, killed: '' });
    assert.equal(planned, 4);
    assert.deepEqual(
      tests.map(({ name, outcome, reason }) => [name, outcome, reason]),
      [
        ['first', 'pass', ''],
        ['mbind() failed', 'skip', 'mbind: Function not implemented'],
        ['third', 'xfail', 'third'],
        ['fourth', 'fail', ''],
      ],
    );
  });

  it('reads what kselftest_harness.h prints', () => {
    const output = [
      'TAP version 13',
      '1..3',
      '# Starting 3 tests from 1 test cases.',
      '#  RUN           global.a ...',
      '#            OK  global.a',
      'ok 1 global.a',
      '#  RUN           global.b ...',
      '# b.c:12:b:Expected 1 (1) == 2 (2)',
      '#          FAIL  global.b',
      'not ok 2 global.b',
      'ok 3 global.c # SKIP no swap',
    ].join('\n');
    const { tests } = judge('prog', output, { code: 1, killed: '' });
    assert.deepEqual(
      tests.map(({ name, outcome, reason }) => [name, outcome, reason]),
      [
        ['global.a', 'pass', ''],
        ['global.b', 'fail', 'b.c:12:b:Expected 1 (1) == 2 (2)'],
        ['global.c', 'skip', 'no swap'],
      ],
    );
  });

  it('fails what was planned and never reported', () => {
    assert.equal(counts('1..3\nok 1 a\n', { code: null, killed: 'SIGSEGV' }), '3: 1 0 0 2');
    assert.equal(
      counts('1..3\nok 1 a\nBail out! no memory\n', { code: 1, killed: '' }),
      '3: 1 0 0 2',
    );
    assert.equal(counts('1..3\nok 1 a\n'), '3: 1 0 0 2');
  });

  it('does not believe an exit code of 0 when a subtest failed, nor all subtests when it is not 0', () => {
    assert.equal(counts('1..1\nnot ok 1 a\n'), '1: 0 0 0 1');
    assert.equal(counts('1..1\nok 1 a\n', { code: 1, killed: '' }), '1: 1 0 0 1');
    assert.equal(counts('1..1\nok 1 a\n', { code: 0, killed: 'lost 3 frames' }), '1: 1 0 0 1');
  });

  it('skips a program that says so for all of it', () => {
    const output = 'TAP version 13\n1..0 # SKIP soft-dirty is not support\n';
    const { tests } = judge('prog', output, { code: 4, killed: '' });
    assert.deepEqual(tests, [
      { name: 'prog', outcome: 'skip', reason: 'soft-dirty is not support' },
    ]);
  });

  it('skips what is left when a program gives up', () => {
    assert.equal(
      counts('1..3\nok 1 a\nok 2 # SKIP no device\n', { code: 4, killed: '' }),
      '3: 1 0 2 0',
    );
    assert.equal(counts('1..3\nnot ok 1 a\n', { code: 4, killed: '' }), '3: 0 0 0 3');
  });

  it('goes by the exit code of a program that prints no TAP', () => {
    assert.equal(counts('all well\n'), '1: 1 0 0 0');
    assert.equal(counts('skip: no such call\n', { code: 4, killed: '' }), '1: 0 0 1 0');
    assert.equal(counts('', { code: 2, killed: '' }), '1: 0 0 0 1');
    assert.equal(counts('', { code: null, killed: 'time limit' }), '1: 0 0 0 1');
  });
});

describe('firstDifference()', () => {
  it('passes over times and nothing else', () => {
    assert.equal(firstDifference('mremap time: 407969ns\nok', 'mremap time:     99ns\nok'), null);
    assert.deepEqual(firstDifference('a\nb 0x1000', 'a\nb 0x2000'), ['b 0x1000', 'b 0x2000']);
    assert.deepEqual(firstDifference('a', 'a\nb'), ['(no line)', 'b']);
  });
});
