import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { prctlSetAnonVmaName } from '../../../src/kernel/sys.ts';
import { mmput } from '../../../src/mm/fork.ts';
import { findVma } from '../../../src/mm/mmap.ts';
import type { MmStruct } from '../../../src/mm/mm_types.ts';
import { copyToUser } from '../../../src/mm/uaccess.ts';
import { EFAULT, EINVAL, ENOMEM } from '../../../src/uapi/errno.ts';
import { ANON_VMA_NAME_MAX_LEN } from '../../../src/uapi/prctl.ts';
import { BASE, map, PAGE, PMD, testMm, testPgData } from '../mm/harness.ts';

const TEXT = BASE + PMD;

function setName(mm: MmStruct, name: string): number {
  assert.equal(copyToUser(mm, TEXT, Buffer.from(`${name}\0`, 'latin1')), 0);
  return prctlSetAnonVmaName(mm, BASE, 2 * PAGE, TEXT);
}

function setup(): MmStruct {
  const mm = testMm(testPgData(8));
  map(mm, BASE, 2 * PAGE);
  map(mm, TEXT, PAGE);
  return mm;
}

describe('prctlSetAnonVmaName()', () => {
  it('names memory and takes the name away', () => {
    const mm = setup();
    assert.equal(setName(mm, 'a heap of mine\xe9'), 0);
    assert.equal(findVma(mm, BASE)!.anonName, 'a heap of mine\xe9');
    assert.equal(prctlSetAnonVmaName(mm, BASE, PAGE, 0), 0);
    assert.equal(findVma(mm, BASE)!.anonName, null);
    assert.equal(findVma(mm, BASE + PAGE)!.anonName, 'a heap of mine\xe9');
    mmput(mm);
  });

  it('refuses names that are too long, have odd bytes or are not there', () => {
    const mm = setup();
    assert.equal(setName(mm, 'x'.repeat(ANON_VMA_NAME_MAX_LEN - 1)), 0);
    const bad = [
      'x'.repeat(ANON_VMA_NAME_MAX_LEN),
      'a[b',
      'a]b',
      'a`b',
      'a$b',
      'a\\b',
      '\n',
      '\x9f',
    ];
    for (const name of bad) assert.equal(setName(mm, name), -EINVAL, JSON.stringify(name));
    assert.equal(prctlSetAnonVmaName(mm, BASE, PAGE, TEXT + PAGE), -EFAULT);
    assert.equal(prctlSetAnonVmaName(mm, BASE + 1, PAGE, 0), -EINVAL);
    assert.equal(prctlSetAnonVmaName(mm, BASE, 3 * PAGE, 0), -ENOMEM);
    mmput(mm);
  });
});
