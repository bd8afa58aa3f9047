import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { File } from '../../../src/fs/fs_types.ts';
import { createEventfd } from '../../../src/fs/eventfd.ts';
import { createPipe, pipeSetSize } from '../../../src/fs/pipe.ts';
import { pipeBytesUsed, pipeOf, type PipeInodeInfo } from '../../../src/fs/pipe_fs_i.ts';
import { AT_POS } from '../../../src/fs/read_write.ts';
import {
  iterToPipe,
  linkPipe,
  pipeToUser,
  spliceFileToPipe,
  splicePipeToFile,
  splicePipeToPipe,
} from '../../../src/fs/splice.ts';
import { dupMm, mmput } from '../../../src/mm/fork.ts';
import { iovUser, iovUserVec } from '../../../src/mm/iov_iter.ts';
import type { MmStruct } from '../../../src/mm/mm_types.ts';
import { doMunmap } from '../../../src/mm/mmap.ts';
import { checkPageTables } from '../../../src/mm/page_table_check.ts';
import { putUser32 } from '../../../src/mm/uaccess.ts';
import { EAGAIN, EFAULT, EINVAL, ENOMEM, ENOSPC, EPIPE } from '../../../src/uapi/errno.ts';
import { O_CREAT, O_RDONLY, O_RDWR, O_WRONLY } from '../../../src/uapi/fcntl.ts';
import { BASE, map, PAGE, peek, PMD, testMm, touch } from '../mm/harness.ts';
import { mustOpen, read, ROOT, testTree, write, type TestTree } from './harness.ts';

interface TestPipe {
  reader: File;
  writer: File;
  pipe: PipeInodeInfo;
}

function newPipe(tree: TestTree): TestPipe {
  const [reader, writer] = createPipe(tree.vfs, 0, ROOT);
  return { reader, writer, pipe: pipeOf(reader.inode)! };
}

function close(...pipes: TestPipe[]): void {
  for (const { reader, writer } of pipes) {
    reader.putFile();
    writer.putFile();
  }
}

/** An address space with two pages of 7 at BASE. */
function processIn(tree: TestTree): MmStruct {
  const mm = testMm(tree.vfs.pgdat);
  map(mm, BASE, 2 * PMD);
  touch(mm, BASE, 2 * PAGE, 7);
  return mm;
}

describe('vmsplice', () => {
  it('puts pages into a pipe by reference: the reader sees what is written until it reads', () => {
    const tree = testTree();
    const { pgdat } = tree.vfs;
    const mm = processIn(tree);
    const free = pgdat.freeFrames;
    const p = newPipe(tree);
    assert.equal(iterToPipe(iovUser(mm, BASE + 2, PAGE), p.pipe, 0), PAGE);
    assert.equal(pgdat.freeFrames, free, 'nothing was copied');
    putUser32(mm, BASE + 4, 0x6261);
    assert.equal((read(p.reader, 4) as string).slice(2), 'ab');
    assert.equal(pipeBytesUsed(p.pipe), PAGE - 4);
    close(p);
    checkPageTables(pgdat);
    mmput(mm);
    checkPageTables(pgdat);
  });

  it('keeps what a process unmaps, and what another writes after fork stays out', () => {
    for (const parentFirst of [true, false]) {
      const tree = testTree();
      const { pgdat } = tree.vfs;
      const parent = processIn(tree);
      const p = newPipe(tree);
      if (parentFirst) assert.equal(iterToPipe(iovUser(parent, BASE, 4), p.pipe, 0), 4);
      const child = dupMm(parent)!;
      if (!parentFirst) assert.equal(iterToPipe(iovUser(parent, BASE, 4), p.pipe, 0), 4);
      assert.equal(doMunmap(parent, BASE, PMD), 0);
      assert.equal(putUser32(child, BASE, 1), 0);
      assert.equal(read(p.reader, 4), '\x07\0\0\0');
      close(p);
      mmput(parent);
      checkPageTables(pgdat);
      mmput(child);
    }
  });

  it('puts in nothing, or less, when memory is out', () => {
    for (let n = 1; ; n++) {
      const tree = testTree();
      const { pgdat } = tree.vfs;
      const parent = processIn(tree);
      const child = dupMm(parent)!;
      const p = newPipe(tree);
      pgdat.failAllocAfter = n;
      const got = iterToPipe(iovUser(child, BASE, PAGE), p.pipe, 0);
      const failed = pgdat.failAllocAfter === 0;
      pgdat.failAllocAfter = 0;
      assert.equal(got, failed ? -ENOMEM : PAGE);
      assert.equal(pipeBytesUsed(p.pipe), failed ? 0 : PAGE);
      close(p);
      checkPageTables(pgdat);
      mmput(child);
      mmput(parent);
      if (!failed) break;
      assert.ok(n < 10);
    }
  });

  it('fills the pipe and no more, and stops at what is not mapped', () => {
    const tree = testTree();
    const mm = processIn(tree);
    const p = newPipe(tree);
    pipeSetSize(p.writer, 2 * PAGE, ROOT);
    const segments = [
      { addr: BASE, len: 0 },
      { addr: BASE + PAGE - 1, len: 2 },
      { addr: BASE, len: 1 },
    ];
    assert.equal(iterToPipe(iovUserVec(mm, segments), p.pipe, 0), 2);
    assert.equal(write(p.writer, 'x'), -EAGAIN, 'a page of somebody else is not written on');
    assert.equal(read(p.reader, 9), '\0\x07');
    assert.equal(iterToPipe(iovUser(mm, BASE + 2 * PMD - 1, 9), p.pipe, 0), 1);
    assert.equal(iterToPipe(iovUser(mm, 4096, 9), p.pipe, 0), -EFAULT);
    close(p);
    checkPageTables(tree.vfs.pgdat);
    mmput(mm);
  });

  it('copies out of a pipe the other way', () => {
    const tree = testTree();
    const mm = processIn(tree);
    const p = newPipe(tree);
    write(p.writer, 'abcd');
    iterToPipe(iovUser(mm, BASE, 4), p.pipe, 0);
    assert.equal(pipeToUser(p.pipe, iovUser(mm, BASE + PAGE, 6)), 6);
    assert.equal(peek(mm, BASE + PAGE), 0x64636261);
    assert.equal(pipeToUser(p.pipe, iovUser(mm, 4096, 2)), -EFAULT);
    assert.equal(pipeBytesUsed(p.pipe), 2, 'and what could not be written is still there');
    close(p);
    mmput(mm);
    checkPageTables(tree.vfs.pgdat);
  });
});

describe('splice', () => {
  it('hands pages of a file on, holes included, and moves the position', () => {
    const tree = testTree();
    const { pgdat } = tree.vfs;
    const file = mustOpen(tree.ctx, '/f', O_CREAT | O_RDWR);
    write(file, 'head', 0);
    write(file, 'tail', 2 * PAGE);
    const free = pgdat.freeFrames;
    const p = newPipe(tree);
    file.pos = 2;
    assert.equal(spliceFileToPipe(file, p.pipe, AT_POS, 3 * PAGE), 2 * PAGE + 2);
    assert.equal(file.pos, 2 * PAGE + 4);
    assert.equal(spliceFileToPipe(file, p.pipe, AT_POS, 10), 0, 'at the end');
    assert.equal(spliceFileToPipe(file, p.pipe, 1, 2), 2);
    assert.equal(file.pos, 2 * PAGE + 4);
    assert.equal(pgdat.freeFrames, free);
    write(file, 'X', 3);
    assert.equal(read(p.reader, 3), 'aX\0');
    const rest = read(p.reader, 3 * PAGE) as string;
    assert.equal(rest.slice(-6), 'tailea');
    assert.match(rest.slice(0, -6), /^\0+$/);
    close(p);
    file.putFile();
    checkPageTables(pgdat);
  });

  it('copies from what has no page cache', () => {
    const tree = testTree();
    const zero = mustOpen(tree.ctx, '/dev/zero', O_RDONLY);
    const p = newPipe(tree);
    assert.equal(spliceFileToPipe(zero, p.pipe, AT_POS, 20 * PAGE), 16 * PAGE);
    assert.equal(read(p.reader, 2), '\0\0');
    close(p);
    assert.equal(tree.vfs.pipeBytes, 0);
  });

  it('writes what a pipe holds to a file, and leaves in the pipe what the file does not take', () => {
    const tree = testTree();
    const file = mustOpen(tree.ctx, '/f', O_CREAT | O_RDWR);
    const full = mustOpen(tree.ctx, '/dev/full', O_WRONLY);
    const p = newPipe(tree);
    write(p.writer, 'hello world');
    assert.equal(splicePipeToFile(p.pipe, full, AT_POS, 99), -ENOSPC);
    assert.equal(splicePipeToFile(p.pipe, file, AT_POS, 6), 6);
    assert.equal(splicePipeToFile(p.pipe, file, 1, 99), 5);
    assert.equal(file.pos, 6);
    assert.equal(read(file, 99, 0), 'hworld');
    close(p);
    for (const f of [file, full]) f.putFile();
  });

  it('does not go to or from an eventfd', () => {
    const tree = testTree();
    const event = createEventfd(tree.vfs, 1, 0, false);
    const p = newPipe(tree);
    write(p.writer, '12345678');
    assert.equal(spliceFileToPipe(event, p.pipe, AT_POS, 8), -EINVAL);
    assert.equal(splicePipeToFile(p.pipe, event, AT_POS, 8), -EINVAL);
    close(p);
    event.putFile();
  });

  it('moves buffers between pipes, whole and in part', () => {
    const tree = testTree();
    const mm = processIn(tree);
    const a = newPipe(tree);
    const b = newPipe(tree);
    write(a.writer, 'abcdef');
    iterToPipe(iovUser(mm, BASE, 4), a.pipe, 0);
    assert.equal(splicePipeToPipe(a.pipe, b.pipe, 4), 4);
    write(a.writer, '!');
    assert.equal(splicePipeToPipe(a.pipe, b.pipe, 99), 7);
    write(b.writer, '?');
    assert.equal(read(b.reader, 99), 'abcdef\x07\0\0\0!?');
    b.reader.putFile();
    write(a.writer, 'x');
    assert.equal(splicePipeToPipe(a.pipe, b.pipe, 4), -EPIPE);
    b.writer.putFile();
    close(a);
    mmput(mm);
    assert.equal(tree.vfs.pipeBytes, 0);
    checkPageTables(tree.vfs.pgdat);
  });
});

describe('tee', () => {
  it('gives two readers the same bytes, and neither what is written to the other', () => {
    const tree = testTree();
    const mm = processIn(tree);
    const a = newPipe(tree);
    const b = newPipe(tree);
    write(a.writer, 'abc');
    iterToPipe(iovUser(mm, BASE, 4), a.pipe, 0);
    write(a.writer, 'd');
    assert.equal(linkPipe(a.pipe, b.pipe, 8), 8);
    write(a.writer, 'a');
    write(b.writer, 'b');
    assert.equal(read(a.reader, 99), 'abc\x07\0\0\0da');
    write(a.writer, 'new page');
    assert.equal(read(b.reader, 99), 'abc\x07\0\0\0db');
    assert.equal(linkPipe(a.pipe, b.pipe, 3), 3);
    assert.equal(read(b.reader, 99), 'new');
    close(a, b);
    mmput(mm);
    assert.equal(tree.vfs.pipeBytes, 0);
    checkPageTables(tree.vfs.pgdat);
  });
});
