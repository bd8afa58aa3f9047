import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { doTruncate, vfsChmod, vfsChown, vfsTruncate, vfsUtimes } from '../../../src/fs/attr.ts';
import { killAllSuperBlocks } from '../../../src/fs/super.ts';
import { vfsMkdir } from '../../../src/fs/namei_create.ts';
import { vfsRmdir, vfsUnlink } from '../../../src/fs/namei_remove.ts';
import { doMadvise } from '../../../src/mm/madvise.ts';
import { doMmap, doMunmap } from '../../../src/mm/mmap.ts';
import { checkPageTables } from '../../../src/mm/page_table_check.ts';
import { mmput } from '../../../src/mm/fork.ts';
import { getUser32, putUser32 } from '../../../src/mm/uaccess.ts';
import { EFBIG, EINVAL, ENODEV, ENOSPC, ENXIO, EPERM } from '../../../src/uapi/errno.ts';
import {
  AT_FDCWD,
  F_SEAL_FUTURE_WRITE,
  F_SEAL_WRITE,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  O_CREAT,
  O_RDWR,
  O_TRUNC,
  SEEK_CUR,
  SEEK_DATA,
  SEEK_END,
  SEEK_HOLE,
  SEEK_SET,
} from '../../../src/uapi/fcntl.ts';
import {
  MADV_REMOVE,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from '../../../src/uapi/mman.ts';
import { testMm } from '../mm/harness.ts';
import {
  list,
  lookup,
  mustOpen,
  read,
  readFile,
  ROOT,
  testTree,
  testVfs,
  USER,
  write,
  writeFile,
} from './harness.ts';

const PAGE = 4096;
const RW = PROT_READ | PROT_WRITE;

describe('tmpfs files', () => {
  it('read back what was written, with holes of zeroes', () => {
    const { ctx } = testTree();
    const file = mustOpen(ctx, '/f', O_CREAT | O_RDWR);
    assert.equal(write(file, 'end', 3 * PAGE - 1), 3);
    assert.equal(file.inode.size, 3 * PAGE + 2);
    assert.equal(file.mapping.pages.size, 2);
    assert.equal(read(file, 2, 100), '\0\0');
    assert.equal(read(file, 100, 3 * PAGE - 2), '\0end');
    assert.equal(read(file, 10, 3 * PAGE + 2), '');
    file.putFile();
  });

  it('find data and holes by page', () => {
    const { ctx } = testTree();
    const file = mustOpen(ctx, '/f', O_CREAT | O_RDWR);
    const seek = (offset: number, whence: number): number =>
      file.fOps.llseek!(file, offset, whence);
    doTruncate(file.inode, 2 ** 40, ROOT);
    write(file, 'x', 5 * PAGE);
    write(file, 'x', 6 * PAGE);
    assert.equal(seek(0, SEEK_DATA), 5 * PAGE);
    assert.equal(seek(5 * PAGE + 7, SEEK_DATA), 5 * PAGE + 7);
    assert.equal(seek(5 * PAGE, SEEK_HOLE), 7 * PAGE);
    assert.equal(seek(100, SEEK_HOLE), 100);
    assert.equal(seek(8 * PAGE, SEEK_DATA), -ENXIO);
    assert.equal(seek(2 ** 40, SEEK_HOLE), -ENXIO);
    assert.equal(seek(-1, SEEK_SET), -EINVAL);
    assert.equal(seek(-1, SEEK_END), 2 ** 40 - 1);
    assert.equal(seek(1, SEEK_CUR), 2 ** 40);
    file.putFile();
  });

  it('show zeroes, not old bytes, after shrinking and growing', () => {
    const { ctx, vfs } = testTree();
    const free = vfs.pgdat.freeFrames;
    const file = mustOpen(ctx, '/f', O_CREAT | O_RDWR);
    write(file, 'a'.repeat(3 * PAGE));
    doTruncate(file.inode, 10, ROOT);
    assert.equal(vfs.pgdat.freeFrames, free - 1);
    doTruncate(file.inode, PAGE, ROOT);
    assert.equal(read(file, 12, 0), 'aaaaaaaaaa\0\0');
    assert.equal(doTruncate(file.inode, 2 ** 53, ROOT), -EFBIG);
    file.putFile();
    mustOpen(ctx, '/f', O_RDWR | O_TRUNC).putFile();
    assert.equal(vfs.pgdat.freeFrames, free);
  });

  it('allocate, punch and zero ranges', () => {
    const { ctx } = testTree();
    const file = mustOpen(ctx, '/f', O_CREAT | O_RDWR);
    const fallocate = file.fOps.fallocate!;
    assert.equal(fallocate(file, 0, 0, 4 * PAGE), 0);
    assert.equal(file.inode.size, 4 * PAGE);
    assert.equal(file.mapping.pages.size, 4);
    write(file, 'x'.repeat(4 * PAGE), 0);
    assert.equal(
      fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE - 1, PAGE + 2),
      0,
    );
    assert.equal(file.mapping.pages.size, 3);
    assert.equal(read(file, 3, PAGE - 2), 'x\0\0');
    assert.equal(read(file, 2, 2 * PAGE), '\0x');
    assert.equal(fallocate(file, FALLOC_FL_ZERO_RANGE, 4 * PAGE - 1, 2), 0);
    assert.equal(file.inode.size, 4 * PAGE + 1);
    assert.equal(read(file, 9, 4 * PAGE - 2), 'x\0\0');
    assert.equal(fallocate(file, FALLOC_FL_KEEP_SIZE, 0, 10 * PAGE), 0);
    assert.equal(file.inode.size, 4 * PAGE + 1);
    file.putFile();
  });

  it('get holes by MADV_REMOVE, unless they are sealed', () => {
    const { ctx, vfs } = testTree();
    const file = mustOpen(ctx, '/f', O_CREAT | O_RDWR);
    write(file, 'x'.repeat(3 * PAGE));
    const mm = testMm(vfs.pgdat);
    const at = doMmap(mm, 0, 3 * PAGE, RW, MAP_SHARED, file, 0);
    assert.equal(doMadvise(mm, at + PAGE, PAGE, MADV_REMOVE), 0);
    assert.equal(file.mapping.pages.size, 2);
    assert.equal(read(file, 3, 2 * PAGE - 1), '\0xx');
    for (const seal of [F_SEAL_WRITE, F_SEAL_FUTURE_WRITE]) {
      file.inode.seals = seal;
      assert.equal(doMadvise(mm, at, PAGE, MADV_REMOVE), -EPERM);
    }
    assert.equal(read(file, 1, 0), 'x');
    mmput(mm);
    file.putFile();
  });

  it('give ENOSPC when memory is out, and everything back', () => {
    const { ctx, vfs } = testTree();
    const free = vfs.pgdat.freeFrames;
    const file = mustOpen(ctx, '/big', O_CREAT | O_RDWR);
    const chunk = 'x'.repeat(64 * PAGE);
    let n = 0;
    while (n >= 0) n = write(file, chunk);
    assert.equal(n, -ENOSPC);
    assert.ok(vfs.pgdat.freeFrames > free / 3, 'others still have memory');
    assert.equal(file.fOps.fallocate!(file, 0, 0, 2 ** 40), -ENOSPC);
    vfsUnlink(ctx, AT_FDCWD, '/big');
    file.putFile();
    assert.equal(vfs.pgdat.freeFrames, free);
  });

  it('cannot be made without end', () => {
    const { ctx } = testTree();
    let made = 0;
    let err = 0;
    while (err === 0) err = vfsMkdir(ctx, AT_FDCWD, `/d${made++}`, 0o755);
    assert.equal(err, -ENOSPC);
    assert.equal(vfsRmdir(ctx, AT_FDCWD, '/d0'), 0);
    assert.equal(vfsMkdir(ctx, AT_FDCWD, '/again', 0o755), 0);
    assert.equal(vfsMkdir(ctx, AT_FDCWD, '/more', 0o755), -ENOSPC);
  });

  it('fail with ENOSPC when an allocation fails', () => {
    const { ctx, vfs } = testTree();
    const file = mustOpen(ctx, '/f', O_CREAT | O_RDWR);
    vfs.pgdat.failAllocAfter = 1;
    assert.equal(write(file, 'x'), -ENOSPC);
    vfs.pgdat.failAllocAfter = 0;
    assert.equal(file.inode.size, 0);
    assert.equal(write(file, 'x'), 1);
    file.putFile();
  });

  it('are the same bytes to read(), write() and a shared mapping', () => {
    const { ctx, vfs } = testTree();
    const mm = testMm(vfs.pgdat);
    const file = mustOpen(ctx, '/f', O_CREAT | O_RDWR);
    write(file, 'aaaabbbb');
    const shared = doMmap(mm, 0, PAGE, RW, MAP_SHARED, file, 0);
    const secret = doMmap(mm, 0, PAGE, RW, MAP_PRIVATE, file, 0);
    assert.equal(getUser32(mm, shared), 0x6161_6161);
    write(file, 'cccc', 0);
    assert.equal(getUser32(mm, shared), 0x6363_6363);
    putUser32(mm, shared + 4, 0x6464_6464);
    assert.equal(read(file, 8, 0), 'ccccdddd');
    putUser32(mm, secret, 0x7a7a_7a7a);
    assert.equal(read(file, 4, 0), 'cccc');
    vfsUnlink(ctx, AT_FDCWD, '/f');
    file.putFile();
    assert.equal(getUser32(mm, shared), 0x6363_6363, 'the mapping holds the file');
    doMunmap(mm, shared, PAGE);
    checkPageTables(vfs.pgdat);
    mmput(mm);
  });

  it('give every frame back when the machine goes', () => {
    const { ctx, vfs } = testTree();
    const free = vfs.pgdat.freeFrames;
    for (let i = 0; i < 20; i++) writeFile(ctx, `/f${i}`, 'x'.repeat(i * 1000));
    assert.ok(vfs.pgdat.freeFrames < free);
    killAllSuperBlocks(vfs);
    assert.equal(vfs.pgdat.freeFrames, free);
  });
});

describe('directories', () => {
  it('are listed to the end while entries are removed', () => {
    const { ctx } = testTree();
    for (let i = 0; i < 50; i++) writeFile(ctx, `/f${i}`, '');
    const dir = mustOpen(ctx, '/', 0);
    const seen: string[] = [];
    for (;;) {
      const batch: string[] = [];
      dir.fOps.iterate!(dir, (name) => {
        if (batch.length === 7) return false;
        batch.push(name);
        return true;
      });
      if (batch.length === 0) break;
      for (const name of batch) if (name.startsWith('f')) vfsUnlink(ctx, AT_FDCWD, `/${name}`);
      seen.push(...batch);
    }
    dir.putFile();
    assert.equal(seen.length, 53);
    assert.deepEqual(list(ctx, '/'), ['dev']);
  });
});

describe('attributes', () => {
  it('change for owners and root only', () => {
    const { ctx } = testTree();
    writeFile(ctx, '/f', 'x');
    const path = lookup(ctx, '/f');
    assert.ok(typeof path !== 'number');
    const { inode } = path.dentry;
    assert.equal(vfsChmod(inode, 0o4755, USER), -EPERM);
    assert.equal(vfsChmod(inode, 0o4755, ROOT), 0);
    assert.equal(vfsChown(inode, 1000, 0xffff_ffff, USER), -EPERM);
    assert.equal(vfsChown(inode, 1000, 0xffff_ffff, ROOT), 0);
    assert.equal(inode.mode & 0o7777, 0o755, 'chown takes setuid away');
    assert.deepEqual([inode.uid, inode.gid], [1000, 0]);
    assert.equal(vfsUtimes(inode, { sec: -5, nsec: 1 }, null, USER), 0);
    assert.deepEqual(inode.atime, { sec: -5, nsec: 1 });
    assert.equal(vfsTruncate(inode, 0, { ...ctx, cred: { ...USER, fsuid: 2000 } }), -13);
  });

  it('follow what happens to the file', () => {
    const { ctx } = testTree();
    writeFile(ctx, '/f', 'x');
    const path = lookup(ctx, '/f');
    assert.ok(typeof path !== 'number');
    const { inode } = path.dentry;
    const { mtime } = inode;
    readFile(ctx, '/f');
    assert.ok(inode.atime.sec > mtime.sec);
    const { atime } = inode;
    readFile(ctx, '/f');
    assert.equal(inode.atime, atime, 'relatime');
    writeFile(ctx, '/f', 'y');
    assert.ok(inode.mtime.sec > atime.sec);
  });
});

describe('/dev', () => {
  it('has the memory devices', () => {
    const { ctx, vfs } = testTree(testVfs());
    const zero = mustOpen(ctx, '/dev/zero', O_RDWR);
    const full = mustOpen(ctx, '/dev/full', O_RDWR);
    const nothing = mustOpen(ctx, '/dev/null', O_RDWR);
    const random = mustOpen(ctx, '/dev/urandom', 0);
    assert.equal(read(zero, 3), '\0\0\0');
    assert.equal(write(full, 'x'), -ENOSPC);
    assert.equal(read(nothing, 3), '');
    assert.equal(read(random, 3), '\x04\x04\x04');
    const mm = testMm(vfs.pgdat);
    const anon = doMmap(mm, 0, PAGE, RW, MAP_PRIVATE, zero, 0);
    putUser32(mm, anon, 7);
    assert.equal(getUser32(mm, anon), 7);
    const shared = doMmap(mm, 0, PAGE, RW, MAP_SHARED, zero, 0);
    putUser32(mm, shared, 8);
    assert.equal(doMmap(mm, 0, PAGE, RW, MAP_SHARED, nothing, 0), -ENODEV);
    checkPageTables(vfs.pgdat);
    mmput(mm);
    for (const file of [zero, full, nothing, random]) {
      assert.equal(file.refs, 1);
      file.putFile();
    }
  });
});
