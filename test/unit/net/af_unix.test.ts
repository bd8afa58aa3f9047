import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { File } from '../../../src/fs/fs_types.ts';
import { vfsPoll } from '../../../src/fs/poll.ts';
import { vfsRead, vfsWrite } from '../../../src/fs/read_write.ts';
import { iovKernel } from '../../../src/mm/iov_iter.ts';
import {
  createSocketPair,
  SEND_SHUTDOWN,
  unixShutdown,
  unixSockOf,
} from '../../../src/net/af_unix.ts';
import { EAGAIN, ECONNREFUSED, ECONNRESET, EMSGSIZE, EPIPE } from '../../../src/uapi/errno.ts';
import { POLLHUP, POLLIN, POLLOUT } from '../../../src/uapi/poll.ts';
import { SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM } from '../../../src/uapi/socket.ts';
import { testTree } from '../fs/harness.ts';

function pair(type: number): { a: File; b: File; vfs: { socketBytes: number } } {
  const { vfs } = testTree();
  const [a, b] = createSocketPair(vfs, type, 0);
  return { a, b, vfs };
}

function put(file: File, text: string): number {
  return vfsWrite(file, iovKernel(Buffer.from(text)), -1);
}

function take(file: File, bytes: number): string | number {
  const buffer = new Uint8Array(bytes);
  const n = vfsRead(file, iovKernel(buffer), -1);
  return n < 0 ? n : Buffer.from(buffer.subarray(0, n)).toString();
}

describe('createSocketPair()', () => {
  it('carries a stream whose pieces run together, and messages that do not', () => {
    for (const [type, wanted] of [
      [SOCK_STREAM, ['abc', 'defg']],
      [SOCK_SEQPACKET, ['abc', 'efg']],
      [SOCK_DGRAM, ['abc', 'efg']],
    ] as const) {
      const { a, b, vfs } = pair(type);
      assert.equal(take(b, 8), -EAGAIN);
      assert.equal(put(a, 'abcd'), 4);
      assert.equal(put(a, 'efg'), 3);
      assert.deepEqual([take(b, 3), take(b, 8)], wanted);
      a.putFile();
      b.putFile();
      assert.equal(vfs.socketBytes, 0);
    }
  });

  it('takes a bounded number of bytes and says so through poll()', () => {
    for (const type of [SOCK_STREAM, SOCK_SEQPACKET]) {
      const { a, b, vfs } = pair(type);
      let sent = 0;
      for (let n = 0; n >= 0; sent += Math.max(n, 0)) n = put(a, 'x'.repeat(1000));
      assert.ok(sent > 100_000 && sent < 212_992);
      assert.equal(vfsPoll(a, null) & POLLOUT, 0);
      while (typeof take(b, 4096) === 'string');
      assert.equal(vfs.socketBytes, 0);
      assert.notEqual(vfsPoll(a, null) & POLLOUT, 0);
    }
    assert.equal(put(pair(SOCK_DGRAM).a, 'x'.repeat(212_992)), -EMSGSIZE);
  });

  it('ends with its other end, and tells of what was lost', () => {
    const { a, b } = pair(SOCK_STREAM);
    put(a, 'unread');
    put(b, 'left');
    b.putFile();
    assert.notEqual(vfsPoll(a, null) & POLLHUP, 0);
    assert.equal(take(a, 2), 'le');
    assert.equal(take(a, 8), 'ft');
    assert.deepEqual([take(a, 1), take(a, 1)], [-ECONNRESET, '']);
  });

  it('is written to no more once one direction is shut', () => {
    const { a, b } = pair(SOCK_SEQPACKET);
    unixShutdown(unixSockOf(a)!, SEND_SHUTDOWN);
    assert.equal(put(a, 'x'), -EPIPE);
    assert.equal(put(b, 'y'), 1);
    assert.equal(take(b, 1), '');
    assert.notEqual(vfsPoll(b, null) & POLLIN, 0);
    const dgram = pair(SOCK_DGRAM);
    dgram.b.putFile();
    assert.equal(put(dgram.a, 'x'), -ECONNREFUSED);
  });
});
