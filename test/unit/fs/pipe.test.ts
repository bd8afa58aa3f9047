import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { HostStream, openHostStream } from '../../../src/fs/console.ts';
import { createEventfd } from '../../../src/fs/eventfd.ts';
import {
  createEpoll,
  epDelete,
  epInsert,
  epModify,
  epollOf,
  epSendEvents,
} from '../../../src/fs/eventpoll.ts';
import type { File } from '../../../src/fs/fs_types.ts';
import { vfsMknod } from '../../../src/fs/namei_create.ts';
import { vfsPoll } from '../../../src/fs/poll.ts';
import { createPipe, fifoOpenWait, pipeGetSize, pipeSetSize } from '../../../src/fs/pipe.ts';
import type { WaitQueue } from '../../../src/lib/wait_queue.ts';
import {
  EAGAIN,
  EBADF,
  EBUSY,
  EEXIST,
  EINVAL,
  ELOOP,
  ENOENT,
  ENXIO,
  EPERM,
  EPIPE,
  ESPIPE,
} from '../../../src/uapi/errno.ts';
import {
  AT_FDCWD,
  O_CREAT,
  O_DIRECT,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
} from '../../../src/uapi/fcntl.ts';
import {
  EPOLLET,
  EPOLLONESHOT,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
} from '../../../src/uapi/poll.ts';
import { S_IFIFO } from '../../../src/uapi/stat.ts';
import { mustOpen, open, read, ROOT, testTree, USER, write } from './harness.ts';

const PIPE_BYTES = 65536;

function pipe(): [File, File] {
  const { vfs } = testTree();
  return createPipe(vfs, 0, ROOT);
}

/** Poll bits without the duplicates for normal data. */
function ready(file: File): number {
  return vfsPoll(file, null) & (POLLIN | POLLOUT | POLLERR | POLLHUP);
}

/** Counts the wakes of the queues a poll joins. */
function watch(file: File): { wakes: number } {
  const seen = { wakes: 0 };
  vfsPoll(file, { add: (queue: WaitQueue) => queue.add({ wake: () => seen.wakes++ }) });
  return seen;
}

describe('a pipe', () => {
  it('passes bytes on in order, whatever the sizes', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(9000), fc.nat(9000)), { maxLength: 60 }), (steps) => {
        const [reader, writer] = pipe();
        let sent = 0;
        let got = 0;
        for (const [out, into] of steps) {
          let text = '';
          for (let i = 0; i < out; i++) text += String.fromCharCode((sent + i) % 251);
          const n = write(writer, text);
          if (n > 0) sent += n;
          const bytes = read(reader, into);
          if (typeof bytes !== 'string') continue;
          for (const c of bytes) assert.equal(c.charCodeAt(0), got++ % 251);
        }
        assert.ok(got <= sent);
      }),
      { numRuns: 50 },
    );
  });

  it('holds 64 KiB, and takes small writes whole or not at all', () => {
    const [reader, writer] = pipe();
    assert.equal(write(writer, 'x'.repeat(2 * PIPE_BYTES)), PIPE_BYTES);
    assert.equal(write(writer, 'x'), -EAGAIN);
    read(reader, 4095);
    assert.equal(write(writer, 'y'.repeat(4096)), -EAGAIN);
    assert.equal(write(writer, 'y'.repeat(4097)), -EAGAIN);
    assert.equal(ready(writer), 0);
    read(reader, 1);
    assert.equal(ready(writer), POLLOUT);
    assert.equal(write(writer, 'y'.repeat(4097)), 4096);
  });

  it('keeps messages apart that were written with O_DIRECT', () => {
    const [reader, writer] = createPipe(testTree().vfs, O_DIRECT, ROOT);
    write(writer, 'first');
    write(writer, 'second');
    assert.equal(read(reader, 2), 'fi');
    assert.equal(read(reader, 99), 'second');
    assert.equal(read(reader, 99), -EAGAIN);
  });

  it('ends when the last writer has gone, and breaks when the last reader has', () => {
    const [reader, writer] = pipe();
    assert.equal(read(reader, 1), -EAGAIN);
    writer.getFile();
    writer.putFile();
    write(writer, 'ab');
    const told = watch(reader);
    writer.putFile();
    assert.equal(told.wakes, 1);
    assert.equal(ready(reader), POLLIN | POLLHUP);
    assert.equal(read(reader, 9), 'ab');
    assert.equal(read(reader, 9), '');
    assert.equal(ready(reader), POLLHUP);
    const [r2, w2] = pipe();
    r2.putFile();
    assert.equal(ready(w2), POLLOUT | POLLERR);
    assert.equal(write(w2, 'x'), -EPIPE);
  });

  it('goes one way and has no positions', () => {
    const [reader, writer] = pipe();
    assert.equal(write(reader, 'x'), -EBADF);
    assert.equal(read(writer, 1), -EBADF);
    assert.equal(read(reader, 1, 0), -ESPIPE);
  });

  it('can be made larger and smaller, but not below what it holds', () => {
    const [reader, writer] = pipe();
    assert.equal(pipeSetSize(writer, 100_000, USER), 131_072);
    assert.equal(pipeGetSize(reader), 131_072);
    assert.equal(write(writer, 'z'.repeat(200_000)), 131_072);
    assert.equal(pipeSetSize(reader, 4096, ROOT), -EBUSY);
    read(reader, 131_072 - 10);
    assert.equal(pipeSetSize(reader, 1, ROOT), 4096);
    assert.equal(read(reader, 100), 'z'.repeat(10));
    assert.equal(pipeSetSize(reader, 2 ** 21, USER), -EPERM);
    assert.equal(pipeSetSize(reader, 2 ** 40, ROOT), -EINVAL);
  });
});

describe('a fifo', () => {
  it('makes each side wait for the other', () => {
    const { ctx } = testTree();
    vfsMknod(ctx, AT_FDCWD, '/p', S_IFIFO | 0o600, 0);
    assert.equal(open(ctx, '/p', O_WRONLY | O_NONBLOCK), -ENXIO);
    const reader = mustOpen(ctx, '/p', O_RDONLY);
    const wait = fifoOpenWait(reader);
    assert.equal(wait?.ready(), false);
    const writer = mustOpen(ctx, '/p', O_WRONLY);
    assert.equal(fifoOpenWait(writer), null);
    writer.putFile();
    assert.equal(wait?.ready(), true, 'a writer that came and went counts');
    reader.putFile();
  });

  it('is not hung up for a reader before the first writer', () => {
    const { ctx } = testTree();
    vfsMknod(ctx, AT_FDCWD, '/p', S_IFIFO | 0o600, 0);
    const reader = mustOpen(ctx, '/p', O_RDONLY | O_NONBLOCK);
    assert.equal(ready(reader), 0);
    assert.equal(read(reader, 1), '');
    const writer = mustOpen(ctx, '/p', O_WRONLY);
    write(writer, 'x');
    writer.putFile();
    assert.equal(ready(reader), POLLIN | POLLHUP);
    reader.putFile();
    const both = mustOpen(ctx, '/p', O_RDWR);
    assert.equal(read(both, 1), -EAGAIN, 'nothing is left of the last time');
    both.putFile();
  });
});

describe('a host stream', () => {
  it('gives the guest what the host pushed, then its end', () => {
    const { vfs } = testTree();
    const stream = new HostStream();
    let starved = 0;
    stream.onStarved = () => starved++;
    const file = openHostStream(vfs, stream, O_RDONLY);
    assert.equal(read(file, 9), -EAGAIN);
    assert.equal(starved, 1);
    const told = watch(file);
    stream.push(Buffer.from('abc'));
    stream.push(Buffer.from('def'));
    assert.equal(told.wakes, 1);
    assert.equal(read(file, 4), 'abcd');
    stream.end();
    assert.equal(read(file, 9), 'ef');
    assert.equal(read(file, 9), '');
    assert.equal(ready(file), POLLHUP);
  });

  it('holds the guest back while the host is full, and tells when it has gone', () => {
    const { vfs } = testTree();
    const stream = new HostStream();
    let out = '';
    let gone = false;
    stream.onWrite = (data) => {
      out += Buffer.from(data).toString();
      return out.length < 4;
    };
    stream.onWritersGone = () => {
      gone = true;
    };
    const file = openHostStream(vfs, stream, O_WRONLY);
    assert.equal(write(file, 'ab'), 2);
    assert.equal(write(file, 'cd'), 2);
    assert.equal(write(file, 'ef'), -EAGAIN);
    assert.equal(ready(file), 0);
    const told = watch(file);
    stream.drained();
    assert.equal(told.wakes, 1);
    assert.equal(write(file, 'ef'), 2);
    stream.close();
    assert.equal(write(file, 'gh'), -EPIPE);
    file.putFile();
    assert.deepEqual([out, gone], ['abcdef', true]);
  });
});

describe('eventfd', () => {
  it('counts, and is taken whole or one by one', () => {
    const { vfs } = testTree();
    const all = createEventfd(vfs, 3, 0, false);
    const one = createEventfd(vfs, 2, 0, true);
    const add = (file: File, n: number): number =>
      write(file, Buffer.from(new BigUint64Array([BigInt(n)]).buffer).toString('latin1'));
    const take = (file: File): number => {
      const bytes = read(file, 8);
      return typeof bytes === 'number'
        ? bytes
        : Number(Buffer.from(bytes, 'latin1').readBigUInt64LE());
    };
    assert.equal(add(all, 4), 8);
    assert.equal(take(all), 7);
    assert.equal(take(all), -EAGAIN);
    assert.deepEqual([take(one), take(one), take(one)], [1, 1, -EAGAIN]);
    assert.equal(ready(one), POLLOUT);
    assert.equal(read(all, 7), -EINVAL);
    assert.equal(write(all, '\xff'.repeat(8)), -EINVAL);
  });
});

describe('epoll', () => {
  const event = (events: number, dataLo = 0) => ({ events, dataLo, dataHi: 0 });
  function setup(): {
    ep: File;
    poll: () => number[];
    reader: File;
    writer: File;
    tree: ReturnType<typeof testTree>;
  } {
    const tree = testTree();
    const [reader, writer] = createPipe(tree.vfs, 0, ROOT);
    const ep = createEpoll(tree.vfs);
    const instance = epollOf(ep);
    assert.ok(typeof instance !== 'number');
    return {
      ep,
      reader,
      writer,
      tree,
      poll: () => epSendEvents(instance, 10).map((e) => e.events),
    };
  }

  it('reports a level again and again, an edge once', () => {
    const { ep, poll, reader, writer } = setup();
    epInsert(ep, reader, 3, event(POLLIN));
    assert.deepEqual(poll(), []);
    write(writer, 'x');
    assert.deepEqual(poll(), [POLLIN]);
    assert.deepEqual(poll(), [POLLIN]);
    epModify(ep, reader, 3, event(POLLIN | EPOLLET));
    assert.deepEqual(poll(), [POLLIN]);
    assert.deepEqual(poll(), []);
    write(writer, 'y');
    assert.deepEqual(poll(), [POLLIN]);
    read(reader, 9);
    assert.deepEqual(poll(), []);
  });

  it('fires a one-shot once until it is armed again', () => {
    const { ep, poll, reader, writer } = setup();
    epInsert(ep, reader, 3, event(POLLIN | EPOLLONESHOT));
    write(writer, 'x');
    assert.deepEqual(poll(), [POLLIN]);
    write(writer, 'x');
    assert.deepEqual(poll(), []);
    epModify(ep, reader, 3, event(POLLIN | EPOLLONESHOT));
    assert.deepEqual(poll(), [POLLIN]);
  });

  it('wakes its sleepers, and can itself be watched', () => {
    const { ep, poll, reader, writer, tree } = setup();
    epInsert(ep, reader, 3, event(POLLIN));
    const outer = createEpoll(tree.vfs);
    assert.equal(epInsert(outer, ep, 4, event(POLLIN)), 0);
    assert.equal(epInsert(ep, outer, 5, event(POLLIN)), -ELOOP);
    const told = watch(ep);
    write(writer, 'x');
    assert.equal(told.wakes, 1);
    assert.equal(ready(outer), POLLIN);
    assert.deepEqual(poll(), [POLLIN]);
  });

  it('limits how many may watch each other in a row, from whichever end they are joined', () => {
    const { tree } = setup();
    const join = (fromTop: boolean): number[] => {
      const row = Array.from({ length: 6 }, () => createEpoll(tree.vfs));
      const links = [0, 1, 2, 3, 4].map((i) => (fromTop ? i : 4 - i));
      return links.map((i) => epInsert(row[i]!, row[i + 1]!, 7, event(POLLIN)));
    };
    assert.deepEqual(join(true), [0, 0, 0, 0, -ELOOP]);
    assert.deepEqual(join(false), [0, 0, 0, 0, -ELOOP]);
  });

  it('forgets a row that was taken apart', () => {
    const { tree } = setup();
    const [a, b, c, d, e, f] = Array.from({ length: 6 }, () => createEpoll(tree.vfs));
    for (const [outer, inner] of [
      [a, b],
      [b, c],
      [c, d],
      [d, e],
    ] as const) {
      assert.equal(epInsert(outer!, inner!, 7, event(POLLIN)), 0);
    }
    assert.equal(epInsert(e!, f!, 7, event(POLLIN)), -ELOOP);
    a!.putFile();
    assert.equal(epInsert(e!, f!, 7, event(POLLIN)), 0);
    const top = createEpoll(tree.vfs);
    assert.equal(epInsert(top, b!, 7, event(POLLIN)), -ELOOP);
    assert.equal(epDelete(c!, d!, 7), 0);
    assert.equal(epInsert(top, b!, 7, event(POLLIN)), 0);
  });

  it('forgets a file that is closed', () => {
    const { ep, poll, reader, writer } = setup();
    epInsert(ep, writer, 4, event(POLLOUT));
    epInsert(ep, reader, 3, event(POLLIN));
    assert.equal(poll().length, 1);
    writer.putFile();
    assert.deepEqual(poll(), [POLLHUP]);
    reader.putFile();
    assert.deepEqual(poll(), []);
    ep.putFile();
  });

  it('gives the errno of Linux for what it cannot do', () => {
    const { ep, reader, tree } = setup();
    const file = mustOpen(tree.ctx, '/f', O_CREAT | O_RDWR);
    assert.equal(epInsert(ep, file, 5, event(POLLIN)), -EPERM);
    assert.equal(epInsert(ep, ep, 6, event(POLLIN)), -EINVAL);
    assert.equal(epInsert(reader, ep, 6, event(POLLIN)), -EINVAL);
    assert.equal(epModify(ep, reader, 3, event(POLLIN)), -ENOENT);
    assert.equal(epInsert(ep, reader, 3, event(POLLIN)), 0);
    assert.equal(epInsert(ep, reader, 3, event(POLLIN)), -EEXIST);
    assert.equal(epDelete(ep, reader, 3), 0);
    assert.equal(epDelete(ep, reader, 3), -ENOENT);
  });
});
