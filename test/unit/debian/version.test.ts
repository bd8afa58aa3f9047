import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { compareVersions, versionSatisfies } from '../../../src/debian/version.ts';

const version = fc
  .tuple(
    fc.option(fc.nat(3), { nil: undefined }),
    fc.stringMatching(/^[0-9][0-9a-c.+~]{0,6}$/),
    fc.option(fc.stringMatching(/^[0-9a-c.+~]{1,4}$/), { nil: undefined }),
  )
  .map(
    ([epoch, upstream, revision]) =>
      `${epoch === undefined ? '' : `${epoch}:`}${upstream}${revision === undefined ? '' : `-${revision}`}`,
  );

describe('compareVersions()', () => {
  const ordered = [
    '1.0~~',
    '1.0~~a',
    '1.0~',
    '1.0',
    '1.0-1',
    '1.0-1+b1',
    '1.0-1.1',
    '1.0a',
    '1.0+b',
    '1.0.1',
    '1.2',
    '1.10',
    '1:0.1',
    '2:0~',
  ];
  it('puts versions in the order of Debian Policy', () => {
    for (let i = 0; i < ordered.length; i++) {
      for (let j = 0; j < ordered.length; j++) {
        assert.equal(
          compareVersions(ordered[i]!, ordered[j]!),
          Math.sign(i - j),
          `${ordered[i]} and ${ordered[j]}`,
        );
      }
    }
  });

  it('ignores leading zeros, an epoch of 0 and a revision of 0', () => {
    assert.equal(compareVersions('1.002', '1.2'), 0);
    assert.equal(compareVersions('0:1.2', '1.2'), 0);
    assert.equal(compareVersions('1.2-0', '1.2'), 0);
  });

  it('compares numbers that no machine word can hold', () => {
    assert.equal(compareVersions('1.99999999999999999998', '1.99999999999999999999'), -1);
  });

  it('is an order: antisymmetric and transitive', () => {
    fc.assert(
      fc.property(version, version, version, (a, b, c) => {
        assert.equal(compareVersions(a, b) + compareVersions(b, a), 0);
        if (compareVersions(a, b) <= 0 && compareVersions(b, c) <= 0)
          assert.ok(compareVersions(a, c) <= 0);
      }),
      { numRuns: 2000 },
    );
  });

  const dpkg = spawnSync('dpkg', ['--version']).status === 0;
  it('agrees with dpkg', { skip: dpkg ? false : 'this host has no dpkg' }, () => {
    fc.assert(
      fc.property(version, version, (a, b) => {
        const operator = (['lt', 'eq', 'gt'] as const)[compareVersions(a, b) + 1]!;
        assert.equal(
          spawnSync('dpkg', ['--compare-versions', a, operator, b]).status,
          0,
          `${a} ${operator} ${b}`,
        );
      }),
      { numRuns: 150 },
    );
  });
});

describe('versionSatisfies()', () => {
  it('knows the five relations', () => {
    for (const [relation, older, same, newer] of [
      ['<<', true, false, false],
      ['<=', true, true, false],
      ['=', false, true, false],
      ['>=', false, true, true],
      ['>>', false, false, true],
    ] as const) {
      assert.deepEqual(
        ['1.0', '1.1', '1.2'].map((found) => versionSatisfies(found, relation, '1.1')),
        [older, same, newer],
        relation,
      );
    }
  });
});
