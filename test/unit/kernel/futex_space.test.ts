import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { futexSpace } from '../../../src/kernel/futex.ts';
import { dupMm, mmput } from '../../../src/mm/fork.ts';
import { FMODE_READ, type VmFile } from '../../../src/mm/mm_types.ts';
import { shmemFileSetup } from '../../../src/mm/shmem.ts';
import { MAP_PRIVATE, MAP_SHARED, PROT_READ } from '../../../src/uapi/mman.ts';
import { BASE, map, PAGE, testMm, testPgData } from '../mm/harness.ts';

describe('futexSpace()', () => {
  it('is one for all shared mappings of a file, those of a descriptor opened for reading too', () => {
    const pgdat = testPgData(8);
    const [writer, reader] = [testMm(pgdat), testMm(pgdat)];
    const file = shmemFileSetup(pgdat, 'words', PAGE);
    const readOnly: VmFile = Object.create(file, { fMode: { value: FMODE_READ } });
    map(writer, BASE, PAGE, { file, flags: MAP_SHARED });
    map(reader, BASE + 8 * PAGE, PAGE, { file: readOnly, flags: MAP_SHARED, prot: PROT_READ });
    assert.equal(futexSpace(writer, BASE), file.mapping);
    assert.equal(futexSpace(reader, BASE + 8 * PAGE), file.mapping);
  });

  it('is the address space for private memory, and another after fork', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, PAGE, { flags: MAP_PRIVATE });
    const child = dupMm(mm)!;
    assert.equal(futexSpace(mm, BASE), mm);
    assert.equal(futexSpace(child, BASE), child);
    mmput(child);
    mmput(mm);
  });
});
