import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parsePackageIndex, slimPackages } from '../../../src/debian/package_index.ts';
import { parseRelations } from '../../../src/debian/relation.ts';
import { resolvePackages } from '../../../src/debian/resolve.ts';

/** An index from `name version; field: value` lines. */
function index(...packages: readonly string[]): ReturnType<typeof parsePackageIndex> {
  const stanzas = packages.map((line) => {
    const [head = '', ...fields] = line.split('; ');
    const [name = '', version = '1'] = head.split(' ');
    return [
      `Package: ${name}`,
      `Version: ${version}`,
      ...fields,
      'Filename: pool/x.deb',
      'Size: 1',
      `SHA256: ${'0'.repeat(64)}`,
    ].join('\n');
  });
  return parsePackageIndex(stanzas.join('\n\n'));
}

function names(found: ReturnType<typeof index>, ...wanted: readonly string[]): string {
  return resolvePackages(found, wanted)
    .map(({ name }) => name)
    .join(' ');
}

describe('parseRelations()', () => {
  it('reads alternatives, versions, architectures and profiles', () => {
    assert.deepEqual(
      parseRelations('libc6 (>= 2.38), awk | mawk:any [riscv64] <!nocheck>, x (<< 1)'),
      [
        [{ name: 'libc6', relation: '>=', version: '2.38' }],
        [
          { name: 'awk', relation: null, version: '' },
          { name: 'mawk', relation: null, version: '' },
        ],
        [{ name: 'x', relation: '<<', version: '1' }],
      ],
    );
  });

  it('reads the obsolete < and > as <= and >=', () => {
    assert.deepEqual(
      parseRelations('a (< 1), b (> 2)').map(([relation]) => relation?.relation),
      ['<=', '>='],
    );
  });

  it('finds nothing in an empty field', () => assert.deepEqual(parseRelations(''), []));
});

describe('slimPackages()', () => {
  it('keeps the used fields of stanzas that are cut anywhere', async () => {
    const text =
      'Package: a\nVersion: 1\nDescription: long\n text\nFilename: f\nSize: 3\nSHA256: 00\n\nPackage: b\nVersion: 2\nTag: x\n';
    const bytes = Buffer.from(text);
    for (let cut = 0; cut <= bytes.length; cut++) {
      async function* pieces(): AsyncGenerator<Uint8Array> {
        yield bytes.subarray(0, cut);
        yield bytes.subarray(cut);
      }
      const slim = await slimPackages(pieces());
      assert.equal(
        slim,
        'Package: a\nVersion: 1\nFilename: f\nSize: 3\nSHA256: 00\n\nPackage: b\nVersion: 2',
        `cut at ${cut}`,
      );
    }
  });
});

describe('resolvePackages()', () => {
  it('follows Depends and Pre-Depends, cycles included', () => {
    const found = index('a 1; Depends: b', 'b 1; Pre-Depends: c', 'c 1; Depends: a', 'd 1');
    assert.equal(names(found, 'a'), 'a b c');
  });

  it('takes the first alternative that exists', () => {
    assert.equal(names(index('a 1; Depends: gone | b | c', 'b 1', 'c 1'), 'a'), 'a b');
  });

  it('prefers an alternative that is chosen already', () => {
    assert.equal(names(index('a 1; Depends: b | c', 'b 1', 'c 1'), 'c', 'a'), 'a c');
  });

  it('takes a provider of a virtual package, the most important first', () => {
    const found = index(
      'a 1; Depends: awk',
      'gawk 1; Provides: awk; Priority: optional',
      'mawk 1; Provides: awk; Priority: required',
    );
    assert.equal(names(found, 'a'), 'a mawk');
    assert.equal(names(found, 'a', 'gawk'), 'a gawk');
  });

  it('takes versioned Provides for a versioned dependency, and no unversioned one', () => {
    const found = index(
      'a 1; Depends: api (>= 2)',
      'old 1; Provides: api (= 1)',
      'bare 1; Provides: api',
      'new 1; Provides: api (= 3)',
    );
    assert.equal(names(found, 'a'), 'a new');
  });

  it('names the dependency whose version is not there', () => {
    assert.throws(() => names(index('a 1; Depends: b (>= 2)', 'b 1'), 'a'), {
      message: 'Cannot install "a": it depends on b (>= 2), and the suite has no such package',
    });
  });

  it('passes over an alternative that conflicts with a chosen package', () => {
    const found = index('a 1; Depends: b | c', 'b 1; Conflicts: x', 'c 1', 'x 1');
    assert.equal(names(found, 'x', 'a'), 'a c x');
  });

  it('refuses two requested packages that conflict', () => {
    assert.throws(() => names(index('a 1; Conflicts: b', 'b 1'), 'a', 'b'), {
      message: 'Cannot install "b": it conflicts with a',
    });
  });

  it('lets a package conflict with a name that it provides itself', () => {
    assert.equal(names(index('a 1; Provides: mta; Conflicts: mta'), 'a'), 'a');
  });

  it('says what provides a virtual package that was asked for', () => {
    assert.throws(() => names(index('mawk 1; Provides: awk'), 'awk'), {
      message: 'Cannot install "awk": it is a virtual package; ask for one of mawk',
    });
  });

  it('says that a package is not there', () => {
    assert.throws(() => names(index('a 1'), 'b'), {
      code: 'NOT_FOUND',
      message: /no package of this name/,
    });
  });

  it('takes the newest of several versions in one index', () => {
    assert.equal(resolvePackages(index('a 1.9', 'a 1.10', 'a 1.2'), ['a'])[0]?.version, '1.10');
  });
});
