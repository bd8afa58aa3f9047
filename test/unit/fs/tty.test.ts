import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { HostStream } from '../../../src/fs/console.ts';
import { absolutePath, type File } from '../../../src/fs/fs_types.ts';
import {
  createTty,
  openTty,
  ttyCheckChange,
  ttyHangup,
  ttyResize,
  type Tty,
} from '../../../src/fs/tty.ts';
import { Termios } from '../../../src/fs/termios.ts';
import { putUser32, getUser32, copyFromUser } from '../../../src/mm/uaccess.ts';
import type { MmStruct } from '../../../src/mm/mm_types.ts';
import { EAGAIN, EIO, ENOTTY, ENXIO } from '../../../src/uapi/errno.ts';
import { O_RDWR } from '../../../src/uapi/fcntl.ts';
import * as io from '../../../src/uapi/ioctl.ts';
import { SIGCONT, SIGHUP, SIGINT, SIGTSTP, SIGTTIN, SIGWINCH } from '../../../src/uapi/signal.ts';
import { BASE, map, testMm } from '../mm/harness.ts';
import { list, lookup, mustOpen, open, read, testTree, write, type TestTree } from './harness.ts';

let tree: TestTree;
let host: HostStream;
let tty: Tty;
let file: File;
let screen = '';
let signals: number[][] = [];

function type(text: string): void {
  host.push(Buffer.from(text, 'latin1'));
}

/** Changes local flags. */
function setLocal(change: (lflag: number) => number, min = 1): void {
  const old = tty.line.termios;
  const cc = old.cc.slice();
  cc[io.VMIN] = min;
  const flags = [old.iflag, old.oflag, old.cflag, change(old.lflag)];
  tty.line.setTermios(new Termios(flags, 0, cc, [old.ispeed, old.ospeed]));
}

beforeEach(() => {
  tree = testTree();
  host = new HostStream();
  screen = '';
  signals = [];
  host.onWrite = (data) => {
    screen += Buffer.from(data).toString('latin1');
    return true;
  };
  tty = createTty(tree.vfs, host, (pgrp, sig) => signals.push([pgrp, sig]));
  tty.pgrp = 10;
  tty.session = 10;
  const at = lookup(tree.ctx, '/dev/pts');
  assert.ok(typeof at !== 'number');
  file = openTty(tty, at.mnt);
});

describe('a terminal in canonical mode', () => {
  it('echoes, and hands out whole lines', () => {
    type('ls -');
    assert.equal(read(file, 99), -EAGAIN);
    type('l\rpwd\r');
    assert.equal(screen, 'ls -l\r\npwd\r\n');
    assert.equal(read(file, 99), 'ls -l\n');
    assert.equal(read(file, 2), 'pw');
    assert.equal(read(file, 99), 'd\n');
    assert.equal(read(file, 99), -EAGAIN);
  });

  it('edits the line: erase, word, kill, literal', () => {
    type('abx\x7fc def\x17X\n');
    assert.equal(read(file, 99), 'abc X\n');
    type('junk\x15ok\n');
    assert.equal(read(file, 99), 'ok\n');
    type('a\x16\x03b\n');
    assert.equal(read(file, 99), 'a\x03b\n');
    type('\xc3\xa4\x7fz\n');
    assert.equal(read(file, 99), 'z\n', 'a two-byte character goes at once');
    assert.deepEqual(signals, []);
  });

  it('ends a read with ^D, empty at the start of a line', () => {
    type('half\x04');
    assert.equal(read(file, 99), 'half');
    type('\x04');
    assert.equal(read(file, 99), '');
    assert.equal(read(file, 99), -EAGAIN);
  });

  it('turns ^C and ^Z into signals of the foreground group, and forgets the line', () => {
    type('abc\x03def\n\x1a');
    assert.deepEqual(signals, [
      [10, SIGINT],
      [10, SIGTSTP],
    ]);
    assert.ok(screen.startsWith('abc^Cdef'));
    // ^Z flushed the line that was complete.
    assert.equal(read(file, 99), -EAGAIN);
  });

  it('stops output between ^S and ^Q', () => {
    type('\x13');
    assert.equal(write(file, 'x'), -EAGAIN);
    type('\x11');
    assert.equal(write(file, 'x\n'), 2);
    assert.equal(screen, 'x\r\n');
  });
});

describe('a terminal in raw mode', () => {
  it('hands out every byte as it is', () => {
    setLocal((l) => l & ~(io.ICANON | io.ECHO | io.ISIG));
    type('a\x03\x04');
    assert.equal(read(file, 99), 'a\x03\x04');
    assert.equal(screen, '');
    assert.deepEqual(signals, []);
  });

  it('honours VMIN', () => {
    setLocal((l) => l & ~io.ICANON, 3);
    type('ab');
    assert.equal(read(file, 99), -EAGAIN);
    type('c');
    assert.equal(read(file, 99), 'abc');
    setLocal((l) => l, 0);
    assert.equal(read(file, 99), '');
  });

  it('gives a half-typed line when canonical mode ends', () => {
    type('half');
    setLocal((l) => l & ~io.ICANON);
    assert.equal(read(file, 99), 'half');
  });
});

describe('terminal devices', () => {
  it('appear in /dev/pts, as /dev/tty for their session, and go with the hangup', () => {
    assert.equal(absolutePath(file.path), '/dev/pts/0');
    assert.deepEqual(list(tree.ctx, '/dev/pts'), ['0']);
    assert.equal(open(tree.ctx, '/dev/tty', O_RDWR), -ENXIO);
    const member = { ...tree.ctx, signal: { session: 10, pgrp: 11 } };
    const own = mustOpen(member, '/dev/tty', O_RDWR);
    type('x\n');
    assert.equal(read(own, 9), 'x\n');
    own.putFile();
    ttyHangup(tty);
    assert.deepEqual(signals, [
      [10, SIGHUP],
      [10, SIGCONT],
    ]);
    assert.equal(read(file, 9), '');
    assert.equal(write(file, 'x'), -EIO);
    assert.deepEqual(list(tree.ctx, '/dev/pts'), []);
    assert.equal(createTty(tree.vfs, new HostStream(), () => {}).index, 0);
  });

  it('bar background reads, and writes with TOSTOP', () => {
    const background = { ...tree.ctx, signal: { session: 10, pgrp: 12 } };
    assert.equal(ttyCheckChange(tty, background, false), SIGTTIN);
    assert.equal(ttyCheckChange(tty, background, true), 0);
    const foreground = { ...tree.ctx, signal: { session: 10, pgrp: 10 } };
    assert.equal(ttyCheckChange(tty, foreground, false), 0);
  });

  it('tell programs of a new window size', () => {
    ttyResize(tty, 50, 132);
    ttyResize(tty, 50, 132);
    assert.deepEqual(signals, [[10, SIGWINCH]]);
  });
});

describe('terminal ioctls', () => {
  it('move settings, sizes and groups', () => {
    const mm: MmStruct = testMm(tree.vfs.pgdat);
    map(mm, BASE, 4096);
    const ctx = { ...tree.ctx, signal: { session: 10, pgrp: 10 } };
    const call = (cmd: number): number => file.fOps.ioctl!(file, cmd, BASE, mm, ctx);
    assert.equal(call(io.TCGETS2), 0);
    const lflag = getUser32(mm, BASE + 12);
    assert.equal(lflag & io.ICANON, io.ICANON);
    assert.equal(getUser32(mm, BASE + io.TERMIOS_OSPEED), 38400);
    putUser32(mm, BASE + 12, lflag & ~io.ECHO);
    assert.equal(call(io.TCSETS2), 0);
    type('x\n');
    assert.equal(screen, '');
    assert.equal(call(io.FIONREAD), 0);
    assert.equal(getUser32(mm, BASE), 2);
    assert.equal(call(io.TIOCGWINSZ), 0);
    const size = new Uint8Array(4);
    copyFromUser(mm, size, BASE);
    assert.deepEqual([...size], [24, 0, 80, 0]);
    putUser32(mm, BASE, 77);
    assert.equal(call(io.TIOCSPGRP), 0);
    assert.equal(tty.pgrp, 77);
    assert.equal(call(io.TIOCGSID), 0);
    assert.equal(getUser32(mm, BASE), 10);
    const stranger = { ...tree.ctx, signal: { session: 99, pgrp: 99 } };
    assert.equal(file.fOps.ioctl!(file, io.TIOCGPGRP, BASE, mm, stranger), -ENOTTY);
    assert.equal(call(0x1234), -ENOTTY);
  });
});
