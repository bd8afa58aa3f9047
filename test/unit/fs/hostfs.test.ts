import assert from 'node:assert/strict';
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { vfsChmod, vfsTruncate } from '../../../src/fs/attr.ts';
import { createHostfs, createHostOverlay } from '../../../src/fs/hostfs.ts';
import { vfsMkdir } from '../../../src/fs/namei_create.ts';
import { vfsRename, vfsRmdir, vfsUnlink } from '../../../src/fs/namei_remove.ts';
import { openExec } from '../../../src/fs/open.ts';
import { killAllSuperBlocks } from '../../../src/fs/super.ts';
import { doMmap } from '../../../src/mm/mmap.ts';
import { mmput } from '../../../src/mm/fork.ts';
import { putUser32 } from '../../../src/mm/uaccess.ts';
import { tryToFreePages } from '../../../src/mm/vmscan.ts';
import {
  EACCES,
  EIO,
  ELOOP,
  ENOENT,
  ENOTEMPTY,
  ENXIO,
  EROFS,
  ETXTBSY,
} from '../../../src/uapi/errno.ts';
import {
  AT_FDCWD,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  O_CREAT,
  O_RDWR,
  O_TRUNC,
} from '../../../src/uapi/fcntl.ts';
import { MAP_SHARED, PROT_READ, PROT_WRITE } from '../../../src/uapi/mman.ts';
import { testMm } from '../mm/harness.ts';
import {
  list,
  lookup,
  mustOpen,
  open,
  read,
  readFile,
  ROOT,
  testTree,
  testVfs,
  write,
  writeFile,
} from './harness.ts';

const PAGE = 4096;
const BIG = 'ab'.repeat(PAGE);
let top = '';
let dir = '';

before(() => {
  top = mkdtempSync(join(tmpdir(), 'hostfs-'));
  dir = join(top, 'root');
  mkdirSync(join(dir, 'sub/deep'), { recursive: true });
  mkdirSync(join(dir, 'dev'));
  writeFileSync(join(top, 'secret'), 'outside');
  writeFileSync(join(dir, 'file'), 'hello');
  writeFileSync(join(dir, 'big'), BIG);
  writeFileSync(join(dir, 'sub/deep/x'), 'X');
  writeFileSync(join(dir, Buffer.from([0x6e, 0xff]).toString('utf8')), '');
  linkSync(join(dir, 'file'), join(dir, 'hard'));
  symlinkSync(join(top, 'secret'), join(dir, 'abs'));
  symlinkSync('../secret', join(dir, 'rel'));
  symlinkSync('/file', join(dir, 'inside'));
  symlinkSync('/', join(dir, 'rootlink'));
  symlinkSync('loop', join(dir, 'loop'));
  execFileSync('mkfifo', [join(dir, 'fifo')]);
});

after(() => rmSync(top, { recursive: true, force: true }));

function hostTree(): ReturnType<typeof testTree> {
  const vfs = testVfs();
  return testTree(vfs, createHostOverlay(vfs, dir));
}

describe('a host directory as root', () => {
  it('shows files, and follows links inside the guest only', () => {
    const { ctx } = hostTree();
    assert.equal(readFile(ctx, '/file'), 'hello');
    assert.equal(readFile(ctx, '/sub/deep/x'), 'X');
    assert.equal(readFile(ctx, '/inside'), 'hello');
    assert.equal(readFile(ctx, '/rootlink/rootlink/file'), 'hello');
    assert.equal(readFile(ctx, '/abs'), -ENOENT);
    assert.equal(readFile(ctx, '/rel'), -ENOENT);
    assert.equal(readFile(ctx, '/../secret'), -ENOENT);
    assert.equal(readFile(ctx, '/sub/../../secret'), -ENOENT);
    assert.equal(readFile(ctx, '/loop'), -ELOOP);
    assert.equal(open(ctx, '/fifo', 0), -ENXIO);
  });

  it('never lets the host resolve what was put in place of something seen', () => {
    mkdirSync(join(dir, 'swap'));
    writeFileSync(join(dir, 'swap/f'), 'mine');
    writeFileSync(join(dir, 'swapfile'), 'mine');
    const { ctx } = hostTree();
    assert.ok(typeof lookup(ctx, '/swap') !== 'number');
    assert.ok(typeof lookup(ctx, '/swapfile') !== 'number');
    renameSync(join(dir, 'swap'), join(top, 'moved'));
    symlinkSync(top, join(dir, 'swap'));
    rmSync(join(dir, 'swapfile'));
    symlinkSync(join(top, 'secret'), join(dir, 'swapfile'));
    assert.equal(readFile(ctx, '/swap/secret'), -EIO);
    const err = readFile(ctx, '/swapfile');
    assert.ok(err === -ELOOP || err === -EIO, String(err));
    rmSync(join(dir, 'swap'));
    rmSync(join(dir, 'swapfile'));
  });

  it('takes changes without passing them on to the host', () => {
    const { ctx } = hostTree();
    const file = mustOpen(ctx, '/big', O_RDWR);
    assert.equal(write(file, 'ZZ', PAGE - 1), 2);
    assert.equal(file.mapping.pages.size, 2, 'only the pages that were touched');
    assert.equal(read(file, 4, PAGE - 2), 'aZZb');
    file.putFile();
    writeFile(ctx, '/sub/new', 'n');
    assert.deepEqual(list(ctx, '/sub').sort(), ['deep', 'new']);
    assert.equal(vfsUnlink(ctx, AT_FDCWD, '/hard'), 0);
    assert.equal(readFile(ctx, '/hard'), -ENOENT);
    assert.equal(vfsRmdir(ctx, AT_FDCWD, '/sub'), -ENOTEMPTY);
    assert.equal(vfsRename(ctx, AT_FDCWD, '/sub', AT_FDCWD, '/moved', 0), 0);
    assert.equal(readFile(ctx, '/moved/deep/x'), 'X');
    assert.equal(vfsMkdir(ctx, AT_FDCWD, '/sub', 0o755), 0);
    assert.deepEqual(list(ctx, '/sub'), [], 'a new directory hides what was below the name');
    assert.equal(readFileSync(join(dir, 'big'), 'latin1'), BIG);
    assert.equal(readFileSync(join(dir, 'hard'), 'latin1'), 'hello');
  });

  it('shows two names of one host file as one inode', () => {
    const { ctx } = hostTree();
    const a = lookup(ctx, '/file');
    const b = lookup(ctx, '/hard');
    assert.ok(typeof a !== 'number' && typeof b !== 'number');
    assert.equal(a.dentry.inode, b.dentry.inode);
    writeFile(ctx, '/file', 'HELLO');
    assert.equal(readFile(ctx, '/hard'), 'HELLO');
  });

  it('does not let cut-off bytes come back', () => {
    const { ctx } = hostTree();
    const path = lookup(ctx, '/big');
    assert.ok(typeof path !== 'number');
    vfsTruncate(path.dentry.inode, 10, ctx);
    vfsTruncate(path.dentry.inode, 2 * PAGE, ctx);
    assert.equal(readFile(ctx, '/big'), `ababababab${'\0'.repeat(2 * PAGE - 10)}`);
    mustOpen(ctx, '/big', O_RDWR | O_TRUNC).putFile();
    assert.equal(readFile(ctx, '/big'), '');
  });

  it('shows zeroes where a hole is punched into what is below', () => {
    const { ctx } = hostTree();
    const file = mustOpen(ctx, '/big', O_RDWR);
    const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    assert.equal(file.fOps.fallocate!(file, mode, 2, 2 * PAGE), 0);
    assert.equal(read(file, 2 * PAGE, 0), `ab${'\0'.repeat(2 * PAGE - 2)}`);
    file.putFile();
  });

  it('keeps what a shared mapping wrote when memory gets short', () => {
    const { ctx, vfs } = hostTree();
    const mm = testMm(vfs.pgdat);
    const file = mustOpen(ctx, '/big', O_RDWR);
    const at = doMmap(mm, 0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    putUser32(mm, at, 0x4b4b_4b4b);
    assert.equal(read(file, 6, 0), 'KKKKab');
    mmput(mm);
    read(file, 1, PAGE);
    tryToFreePages(vfs.pgdat, 1000);
    assert.equal(file.mapping.pages.size, 1, 'the clean page went');
    assert.equal(read(file, 6, 0), 'KKKKab');
    assert.equal(read(file, 2, PAGE), 'ab');
    file.putFile();
  });

  it('gives EIO for bytes the host has lost', () => {
    writeFileSync(join(dir, 'shrinks'), 'x'.repeat(2 * PAGE));
    const { ctx } = hostTree();
    const file = mustOpen(ctx, '/shrinks', 0);
    writeFileSync(join(dir, 'shrinks'), 'x');
    assert.equal(read(file, 10, PAGE), -EIO);
    file.putFile();
    rmSync(join(dir, 'shrinks'));
  });

  it('runs programs that may be executed and that nobody writes', () => {
    const { ctx } = hostTree();
    assert.equal(openExec(ctx.fs, null, '/file'), -EACCES);
    const path = lookup(ctx, '/file');
    assert.ok(typeof path !== 'number');
    assert.equal(vfsChmod(path.dentry.inode, 0o755, ROOT), 0);
    const writer = mustOpen(ctx, '/file', O_RDWR);
    assert.equal(openExec(ctx.fs, null, '/file'), -ETXTBSY);
    writer.putFile();
    const program = openExec(ctx.fs, null, '/file');
    assert.ok(typeof program !== 'number');
    assert.equal(open(ctx, '/file', O_RDWR), -ETXTBSY);
    program.putFile();
    mustOpen(ctx, '/file', O_RDWR).putFile();
  });

  it('gives every frame back', () => {
    const { ctx, vfs } = hostTree();
    const free = vfs.pgdat.freeFrames;
    readFile(ctx, '/big');
    writeFile(ctx, '/file', 'x');
    writeFile(ctx, '/other', 'x');
    assert.ok(vfs.pgdat.freeFrames < free);
    killAllSuperBlocks(vfs);
    assert.equal(vfs.pgdat.freeFrames, free);
  });
});

describe('a read-only host mount', () => {
  it('refuses every change with EROFS', () => {
    const vfs = testVfs();
    const { ctx } = testTree(vfs, createHostfs(vfs, dir));
    assert.equal(readFile(ctx, '/file'), 'hello');
    assert.equal(open(ctx, '/file', O_RDWR), -EROFS);
    assert.equal(open(ctx, '/new', O_CREAT), -EROFS);
    assert.equal(vfsMkdir(ctx, AT_FDCWD, '/d', 0o755), -EROFS);
    assert.equal(vfsUnlink(ctx, AT_FDCWD, '/file'), -EROFS);
    assert.equal(vfsRename(ctx, AT_FDCWD, '/file', AT_FDCWD, '/g', 0), -EROFS);
    const path = lookup(ctx, '/file');
    assert.ok(typeof path !== 'number');
    assert.equal(vfsChmod(path.dentry.inode, 0o777, ROOT), -EROFS);
    assert.equal(vfsTruncate(path.dentry.inode, 0, ctx), -EROFS);
  });

  it('is no root for what is not a directory', () => {
    const vfs = testVfs();
    const missing = createHostfs(vfs, join(dir, 'missing'));
    assert.equal(missing, -ENOENT);
    chmodSync(join(dir, 'file'), 0o644);
  });
});
