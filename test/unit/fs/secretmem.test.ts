import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { File } from '../../../src/fs/fs_types.ts';
import { vfsRead, vfsWrite } from '../../../src/fs/read_write.ts';
import { secretmemFileCreate } from '../../../src/fs/secretmem.ts';
import { MAX_LFS_FILESIZE } from '../../../src/mm/address_space.ts';
import { dupMm, mmput } from '../../../src/mm/fork.ts';
import { iovKernel } from '../../../src/mm/iov_iter.ts';
import { doMadvise } from '../../../src/mm/madvise.ts';
import { doMlock } from '../../../src/mm/mlock.ts';
import { doMmap, doMunmap, findVma } from '../../../src/mm/mmap.ts';
import type { MmStruct } from '../../../src/mm/mm_types.ts';
import { LRU_UNEVICTABLE } from '../../../src/mm/page.ts';
import { checkPageTables } from '../../../src/mm/page_table_check.ts';
import { userFault } from '../../../src/mm/fault.ts';
import { FAULT_FLAG_WRITE, VM_FAULT_OOM, VM_FAULT_SIGBUS } from '../../../src/mm/vm_fault.ts';
import { VM_DONTDUMP, VM_LOCKED, vmaIsSecretmem } from '../../../src/mm/vma.ts';
import { tryToFreePages } from '../../../src/mm/vmscan.ts';
import { EFBIG, EINVAL, ENOMEM, ESPIPE } from '../../../src/uapi/errno.ts';
import {
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from '../../../src/uapi/mman.ts';
import { BASE, map, PAGE, peek, testMm, touch } from '../mm/harness.ts';
import { ROOT, testVfs } from './harness.ts';

const UID = 7;

class Secret {
  readonly vfs = testVfs(8);
  readonly pgdat = this.vfs.pgdat;
  readonly file: File = secretmemFileCreate(this.vfs, UID, ROOT);
  readonly mm: MmStruct = testMm(this.pgdat);

  constructor(pages: number, limit = Number.POSITIVE_INFINITY) {
    assert.equal(this.resize(pages * PAGE), 0);
    this.mm.limits.memlock = limit;
    if (pages > 0) map(this.mm, BASE, pages * PAGE, { file: this.file, flags: MAP_SHARED });
  }

  resize(size: number): number {
    return this.file.inode.iOps.setSize!(this.file.inode, size);
  }

  get locked(): number {
    return this.vfs.users.get(UID)!.lockedVm;
  }

  end(): void {
    checkPageTables(this.pgdat);
    mmput(this.mm);
    this.file.putFile();
    assert.equal(this.locked, 0);
    checkPageTables(this.pgdat);
  }
}

describe('memfd_secret()', () => {
  it('makes a file that is mapped shared, and neither read nor written', () => {
    const secret = new Secret(2);
    const { mm, file } = secret;
    const buffer = iovKernel(new Uint8Array(8));
    assert.equal(vfsRead(file, buffer, -1), -EINVAL);
    assert.equal(vfsWrite(file, buffer, -1), -EINVAL);
    assert.equal(vfsRead(file, buffer, 0), -ESPIPE);
    const prot = PROT_READ | PROT_WRITE;
    assert.equal(doMmap(mm, 0, PAGE, prot, MAP_PRIVATE, file, 0), -EINVAL);
    const vma = findVma(mm, BASE)!;
    assert.equal(vma.flags & VM_DONTDUMP, VM_DONTDUMP);
    assert.ok(vmaIsSecretmem(vma));
    touch(mm, BASE, 2 * PAGE, 7);
    const child = dupMm(mm)!;
    touch(child, BASE, PAGE, 8);
    assert.deepEqual([peek(mm, BASE), peek(child, BASE + PAGE)], [8, 7]);
    assert.equal(userFault(mm, BASE + 2 * PAGE, 0) !== 0, true);
    mmput(child);
    secret.end();
  });

  it('gets a size once', () => {
    const secret = new Secret(0);
    assert.equal(secret.resize(3 * PAGE), 0);
    for (const size of [0, PAGE, 3 * PAGE, 4 * PAGE]) assert.equal(secret.resize(size), -EINVAL);
    assert.equal(secret.file.inode.size, 3 * PAGE);
    secret.end();
  });

  it('gets no size that pages of its cache could not be found by', () => {
    const secret = new Secret(0);
    assert.equal(secret.resize(MAX_LFS_FILESIZE + PAGE), -EFBIG);
    assert.equal(secret.resize(MAX_LFS_FILESIZE), 0);
    const last = MAX_LFS_FILESIZE / PAGE - 1;
    map(secret.mm, BASE, PAGE, { file: secret.file, flags: MAP_SHARED, pgoff: last });
    touch(secret.mm, BASE, PAGE, 7);
    secret.end();
  });

  it('faults beyond its size with SIGBUS', () => {
    const secret = new Secret(1);
    map(secret.mm, BASE, 2 * PAGE, { file: secret.file, flags: MAP_SHARED });
    assert.equal(userFault(secret.mm, BASE + PAGE, FAULT_FLAG_WRITE), VM_FAULT_SIGBUS);
    assert.equal(secret.locked, 0);
    secret.end();
  });

  it('counts pages of its user against RLIMIT_MEMLOCK from the first touch to the end', () => {
    const secret = new Secret(3, 2 * PAGE + 100);
    const { mm, vfs } = secret;
    touch(mm, BASE, 2 * PAGE, 7);
    assert.equal(secret.locked, 2);
    assert.equal(userFault(mm, BASE + 2 * PAGE, FAULT_FLAG_WRITE), VM_FAULT_SIGBUS);
    assert.equal(peek(mm, BASE), 7, 'what is there is not counted again');
    doMunmap(mm, BASE, 3 * PAGE);
    assert.equal(secret.locked, 2, 'the file still has its pages');
    const second = secretmemFileCreate(vfs, UID, ROOT);
    second.inode.iOps.setSize!(second.inode, PAGE);
    map(mm, BASE, PAGE, { file: second, flags: MAP_SHARED });
    assert.equal(userFault(mm, BASE, 0), VM_FAULT_SIGBUS, 'one user, two files');
    const other = secretmemFileCreate(vfs, UID + 1, ROOT);
    other.inode.iOps.setSize!(other.inode, PAGE);
    map(mm, BASE, PAGE, { file: other, flags: MAP_SHARED });
    assert.equal(userFault(mm, BASE, 0), 0, 'another user');
    second.putFile();
    other.putFile();
    secret.end();
  });

  it('charges nothing when memory is out', () => {
    const secret = new Secret(1);
    peek(secret.mm, BASE + 2 * PAGE);
    for (let n = 1; ; n++) {
      secret.pgdat.failAllocAfter = n;
      const ret = userFault(secret.mm, BASE, FAULT_FLAG_WRITE);
      const failed = secret.pgdat.failAllocAfter === 0;
      secret.pgdat.failAllocAfter = 0;
      assert.equal(ret, failed ? VM_FAULT_OOM : 0);
      assert.equal(secret.locked, failed ? 0 : 1);
      if (!failed) break;
    }
    secret.end();
  });

  it('is nothing for mlock(), nor for whoever would fault its pages in for others', () => {
    const secret = new Secret(1);
    const { mm } = secret;
    assert.equal(doMlock(mm, BASE, PAGE, 0), -ENOMEM);
    assert.equal(findVma(mm, BASE)!.flags & VM_LOCKED, 0);
    assert.equal(mm.lockedVm, 0);
    for (const advice of [MADV_POPULATE_READ, MADV_POPULATE_WRITE]) {
      assert.equal(doMadvise(mm, BASE, PAGE, advice), -EINVAL);
    }
    secret.end();
  });

  it('is out of reach of reclaim, and wiped when it goes', () => {
    const secret = new Secret(2);
    touch(secret.mm, BASE, 2 * PAGE, 7);
    assert.equal(secret.pgdat.lruSize[LRU_UNEVICTABLE], 2);
    assert.equal(tryToFreePages(secret.pgdat, 100), 0);
    assert.equal(peek(secret.mm, BASE), 7);
    const pfn = secret.file.mapping.pages.get(0);
    secret.end();
    const { u8 } = secret.pgdat.ram;
    assert.equal(u8.subarray(pfn * PAGE, (pfn + 1) * PAGE).indexOf(7), -1);
  });
});
