import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Task } from '../../../src/kernel/task.ts';
import { mmput } from '../../../src/mm/fork.ts';
import { doMmap, doMunmap } from '../../../src/mm/mmap.ts';
import { checkPageTables } from '../../../src/mm/page_table_check.ts';
import { copyFromUser, copyToUser } from '../../../src/mm/uaccess.ts';
import {
  E2BIG,
  EFAULT,
  EINVAL,
  ENAMETOOLONG,
  ENOENT,
  ENOTTY,
  ESRCH,
} from '../../../src/uapi/errno.ts';
import { O_CREAT, O_RDWR, SEEK_SET } from '../../../src/uapi/fcntl.ts';
import * as fs from '../../../src/uapi/fs.ts';
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
} from '../../../src/uapi/mman.ts';
import { BASE, map, PAGE, PMD, touch } from '../mm/harness.ts';
import { bootProc, cat, mustOpen, newTask, read, write, type ProcMachine } from './proc_harness.ts';

/** Where the queries and their buffers are, away from what they ask about. */
const ARG = BASE + 64 * PMD;
const NAME = ARG + PAGE;
const BUILD_ID = ARG + 2 * PAGE;
const UNMAPPED = ARG + 8 * PAGE;

interface Query {
  size?: number;
  flags?: number;
  flagsHi?: number;
  addr?: number;
  nameSize?: number;
  nameAddr?: number;
  idSize?: number;
  idAddr?: number;
  /** A byte behind the known structure. */
  extra?: number;
}

class Caller {
  readonly machine: ProcMachine = bootProc();
  readonly task: Task = newTask(this.machine);
  file = mustOpen(this.task, `/proc/${this.task.pid}/maps`);

  constructor() {
    this.machine.kernel.current = this.task;
    map(this.task.mm!, ARG, 4 * PAGE);
  }

  /** @returns what the ioctl returns. */
  query(q: Query): number {
    const bytes = Buffer.alloc(256);
    bytes.writeBigUInt64LE(BigInt(q.size ?? fs.PROCMAP_QUERY_BYTES), 0);
    bytes.writeUInt32LE(q.flags ?? 0, fs.PQ_QUERY_FLAGS);
    bytes.writeUInt32LE(q.flagsHi ?? 0, fs.PQ_QUERY_FLAGS + 4);
    bytes.writeBigUInt64LE(BigInt(q.addr ?? BASE), fs.PQ_QUERY_ADDR);
    bytes.writeUInt32LE(q.nameSize ?? 0, fs.PQ_VMA_NAME_SIZE);
    bytes.writeBigUInt64LE(BigInt(q.nameAddr ?? 0), fs.PQ_VMA_NAME_ADDR);
    bytes.writeUInt32LE(q.idSize ?? 0, fs.PQ_BUILD_ID_SIZE);
    bytes.writeBigUInt64LE(BigInt(q.idAddr ?? 0), fs.PQ_BUILD_ID_ADDR);
    bytes[200] = q.extra ?? 0;
    assert.equal(copyToUser(this.task.mm!, ARG, bytes), 0);
    return this.ioctl(fs.PROCMAP_QUERY, ARG);
  }

  ioctl(cmd: number, arg: number): number {
    return this.file.fOps.ioctl!(this.file, cmd, arg, this.task.mm!, this.task);
  }

  u64(field: number): number {
    return Number(this.bytes(ARG + field, 8).readBigUInt64LE());
  }

  u32(field: number): number {
    return this.bytes(ARG + field, 4).readUInt32LE();
  }

  bytes(addr: number, n: number): Buffer {
    const buffer = Buffer.alloc(n);
    assert.equal(copyFromUser(this.task.mm!, buffer, addr), 0);
    return buffer;
  }

  /** The VMA found, as `start-end` in pages from BASE, or the error. */
  found(q: Query): string | number {
    const ret = this.query(q);
    if (ret !== 0) return ret;
    const start = (this.u64(fs.PQ_VMA_START) - BASE) / PAGE;
    return `${start}-${(this.u64(fs.PQ_VMA_END) - BASE) / PAGE}`;
  }
}

/** A minimal program with a build id note of `id`. */
function elfWithBuildId(id: Buffer): Buffer {
  const elf = Buffer.alloc(64 + 56 + 64);
  elf.write('\x7fELF', 0, 'latin1');
  elf[4] = 2;
  elf[5] = 1;
  elf.writeUInt16LE(3, 16);
  elf.writeUInt16LE(243, 18);
  elf.writeUInt32LE(64, 32);
  elf.writeUInt16LE(56, 54);
  elf.writeUInt16LE(1, 56);
  elf.writeUInt32LE(4, 64);
  elf.writeUInt32LE(120, 64 + 8);
  elf.writeUInt32LE(16 + id.length, 64 + 32);
  elf.writeUInt32LE(4, 120);
  elf.writeUInt32LE(id.length, 124);
  elf.writeUInt32LE(3, 128);
  elf.write('GNU\0', 132, 'latin1');
  id.copy(elf, 136);
  return elf;
}

describe('PROCMAP_QUERY', () => {
  it('finds the VMA that covers an address, or the next one, with all that is asked for', () => {
    const caller = new Caller();
    const mm = caller.task.mm!;
    const file = mustOpen(caller.task, '/file', O_RDWR | O_CREAT);
    write(file, 'x');
    map(mm, BASE, 2 * PAGE);
    map(mm, BASE + 4 * PAGE, PAGE, { prot: PROT_READ });
    file.getFile();
    map(mm, BASE + 6 * PAGE, PAGE, { prot: PROT_READ | PROT_EXEC, file });
    const next = fs.PROCMAP_QUERY_COVERING_OR_NEXT_VMA;
    assert.equal(caller.found({}), '0-2');
    assert.equal(caller.found({ addr: BASE + 2 * PAGE - 1 }), '0-2');
    assert.equal(caller.found({ addr: BASE + 2 * PAGE }), -ENOENT);
    assert.equal(caller.found({ addr: BASE + 2 * PAGE, flags: next }), '4-5');
    assert.equal(caller.found({ flags: fs.PROCMAP_QUERY_VMA_EXECUTABLE }), -ENOENT);
    assert.equal(caller.found({ flags: fs.PROCMAP_QUERY_VMA_EXECUTABLE | next }), '6-7');
    assert.equal(caller.found({ flags: fs.PROCMAP_QUERY_FILE_BACKED_VMA | next }), '6-7');
    assert.equal(caller.found({ flags: fs.PROCMAP_QUERY_VMA_SHARED | next }), -ENOENT);
    assert.equal(caller.found({ addr: 2 ** 63, flags: next }), -ENOENT);
    assert.equal(caller.query({ addr: BASE + 6 * PAGE }), 0);
    assert.equal(caller.u64(fs.PQ_VMA_FLAGS), 5);
    assert.equal(caller.u64(fs.PQ_VMA_PAGE_SIZE), PAGE);
    assert.equal(caller.u64(fs.PQ_INODE), file.ino);
    assert.equal(caller.u32(fs.PQ_DEV_MINOR), file.dev & 0xff);
  });

  it('gives name and build id where they fit', () => {
    const caller = new Caller();
    const mm = caller.task.mm!;
    const id = Buffer.from('0123456789abcdefghij');
    const file = mustOpen(caller.task, '/prog', O_RDWR | O_CREAT);
    write(file, elfWithBuildId(id).toString('latin1'));
    map(mm, BASE, PAGE, { prot: PROT_READ, file });
    map(mm, BASE + PMD, PAGE);
    const name = { nameSize: 64, nameAddr: NAME };
    const buildId = { idSize: 64, idAddr: BUILD_ID };
    assert.equal(caller.query({ ...name, ...buildId }), 0);
    assert.equal(caller.u32(fs.PQ_VMA_NAME_SIZE), 6);
    assert.equal(caller.bytes(NAME, 6).toString('latin1'), '/prog\0');
    assert.equal(caller.u32(fs.PQ_BUILD_ID_SIZE), 20);
    assert.deepEqual(caller.bytes(BUILD_ID, 20), id);
    assert.equal(caller.query({ ...name, nameSize: 6 }), 0);
    assert.equal(caller.query({ ...name, nameSize: 5 }), -ENAMETOOLONG);
    assert.equal(caller.query({ ...buildId, idSize: 20 }), 0);
    assert.equal(caller.query({ ...buildId, idSize: 19 }), -ENAMETOOLONG);
    assert.equal(caller.query({ ...name, nameAddr: UNMAPPED }), -EFAULT);
    assert.equal(caller.query({ ...buildId, idAddr: UNMAPPED }), -EFAULT);
    assert.equal(caller.query({ ...name, ...buildId, addr: BASE + PMD }), 0);
    assert.equal(caller.u32(fs.PQ_VMA_NAME_SIZE), 0);
    assert.equal(caller.u32(fs.PQ_BUILD_ID_SIZE), 0);
  });

  it('has no build id for what is no program, or claims notes that are not there', () => {
    const caller = new Caller();
    const mm = caller.task.mm!;
    const damage: ((elf: Buffer) => void)[] = [
      (elf) => (elf[0] = 0),
      (elf) => (elf[4] = 1),
      (elf) => elf.writeUInt16LE(1, 16),
      (elf) => elf.writeUInt16LE(0, 56),
      (elf) => elf.writeUInt16LE(0xffff, 56),
      (elf) => elf.writeUInt32LE(0xffff_ffff, 36),
      (elf) => elf.writeUInt32LE(1, 64),
      (elf) => elf.writeUInt32LE(0xffff_ffff, 64 + 8),
      (elf) => elf.writeUInt32LE(0xffff_ffff, 64 + 32),
      (elf) => elf.writeUInt32LE(0xffff_ffff, 120),
      (elf) => elf.writeUInt32LE(0xffff_ffff, 124),
      (elf) => elf.writeUInt32LE(0, 124),
      (elf) => elf.writeUInt32LE(1, 128),
    ];
    damage.forEach((change, i) => {
      const elf = elfWithBuildId(Buffer.alloc(20, 7));
      change(elf);
      const file = mustOpen(caller.task, `/bad${i}`, O_RDWR | O_CREAT);
      write(file, elf.toString('latin1'));
      map(mm, BASE, PAGE, { prot: PROT_READ, file });
      assert.equal(caller.query({ idSize: 64, idAddr: BUILD_ID }), 0, `${i}`);
      assert.equal(caller.u32(fs.PQ_BUILD_ID_SIZE), 0, `${i}`);
    });
  });

  it('refuses sizes, flags and buffers that are wrong', () => {
    const caller = new Caller();
    map(caller.task.mm!, BASE, PAGE);
    const wrong: [Query, number][] = [
      [{ size: 0 }, -EINVAL],
      [{ size: 23 }, -EINVAL],
      [{ size: 24 }, 0],
      [{ size: 240 }, 0],
      [{ size: 240, extra: 1 }, -E2BIG],
      [{ size: 4096 }, 0],
      [{ size: 4097 }, -E2BIG],
      [{ size: 2 ** 60 }, -E2BIG],
      [{ flags: 0x40 }, -EINVAL],
      [{ flags: 0x8000_0000 }, -EINVAL],
      [{ flagsHi: 1 }, -EINVAL],
      [{ nameSize: 1 }, -EINVAL],
      [{ nameAddr: NAME }, -EINVAL],
      [{ idSize: 1 }, -EINVAL],
      [{ idAddr: NAME }, -EINVAL],
    ];
    for (const [query, ret] of wrong) {
      assert.equal(caller.query(query), ret, JSON.stringify(query));
    }
    assert.equal(caller.ioctl(fs.PROCMAP_QUERY, UNMAPPED), -EFAULT);
    assert.equal(caller.ioctl(fs.PROCMAP_QUERY, UNMAPPED - 4 * PAGE - 8), -EINVAL);
    assert.equal(caller.ioctl(fs.PROCMAP_QUERY + 1, ARG), -ENOTTY);
    assert.equal(caller.ioctl(fs.PAGEMAP_SCAN, ARG), -ENOTTY);
  });

  it('copies out no more than the caller has room for', () => {
    const caller = new Caller();
    map(caller.task.mm!, BASE, PAGE);
    assert.equal(caller.query({ size: 32 }), 0);
    assert.equal(caller.u64(fs.PQ_VMA_START), BASE);
    assert.equal(caller.u64(fs.PQ_VMA_END), 0);
  });

  it('is about the memory the process had at open(), and ESRCH once that is gone', () => {
    const caller = new Caller();
    const other = newTask(caller.machine);
    map(other.mm!, BASE, 3 * PAGE);
    caller.file = mustOpen(caller.task, `/proc/${other.pid}/maps`);
    assert.equal(caller.found({}), '0-3');
    mmput(other.mm!);
    other.mm = null;
    assert.equal(caller.query({}), -ESRCH);
    assert.equal(read(caller.file), '');
    checkPageTables(caller.machine.kernel.pgdat);
  });
});

describe('/proc/PID/maps, read in pieces', () => {
  /** Thirty VMAs, so that the text is longer than a page. */
  function manyVmas(): { machine: ProcMachine; task: Task } {
    const machine = bootProc();
    const task = newTask(machine);
    for (let i = 0; i < 90; i++) {
      const prot = i % 2 === 0 ? PROT_READ : PROT_READ | PROT_WRITE;
      const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
      doMmap(task.mm!, BASE + i * PAGE, PAGE, prot, flags, null, 0);
    }
    return { machine, task };
  }

  it('is the same text whatever the size of the pieces', () => {
    const { task } = manyVmas();
    const path = `/proc/${task.pid}/maps`;
    const whole = cat(task, path);
    assert.equal(whole.split('\n').length, 91);
    for (const size of [1, 7, 100, 4095, 4097]) {
      const file = mustOpen(task, path);
      let text = '';
      for (let part = read(file, size); part !== ''; part = read(file, size)) text += part;
      assert.equal(text, whole, `${size}`);
    }
  });

  it('gives whole lines, a page of them at most', () => {
    const { task } = manyVmas();
    const text = read(mustOpen(task, `/proc/${task.pid}/maps`)) as string;
    assert.ok(text.length <= 4096 && text.length > 4000);
    assert.ok(text.endsWith('\n'));
  });

  it('can be read at any offset, back and forth', () => {
    const { task } = manyVmas();
    const path = `/proc/${task.pid}/maps`;
    const whole = cat(task, path);
    const file = mustOpen(task, path);
    for (const at of [100, 0, 4100, 50, 4000, whole.length - 3]) {
      assert.equal(read(file, 60, at), whole.slice(at, at + 60), `${at}`);
    }
    assert.equal(read(file, 60, whole.length), '');
    assert.equal(read(file, 60, whole.length + 1000), '');
    assert.equal(file.fOps.llseek!(file, 20, SEEK_SET), 20);
    assert.equal(read(file, 10), whole.slice(20, 30));
  });

  it('goes on behind the last VMA shown when the map has changed meanwhile', () => {
    const { task } = manyVmas();
    const file = mustOpen(task, `/proc/${task.pid}/maps`);
    const first = read(file, 1) as string;
    assert.equal(first, '4');
    let rest = read(file, 400) as string;
    assert.equal(doMunmap(task.mm!, BASE, 60 * PAGE), 0);
    for (let part = read(file, 400); part !== ''; part = read(file, 400)) rest += part as string;
    const starts = `4${rest}`
      .trimEnd()
      .split('\n')
      .map((line) => (Number.parseInt(line.split('-')[0]!, 16) - BASE) / PAGE);
    assert.deepEqual(starts, [...new Set(starts)]);
    assert.equal(starts[0], 0);
    assert.ok(starts.includes(60) && starts.includes(89));
    assert.ok(!starts.includes(40));
  });

  it('makes smaps of a VMA only when it is read', () => {
    const { machine, task } = manyVmas();
    const file = mustOpen(task, `/proc/${task.pid}/smaps`);
    const first = read(file, 100) as string;
    touch(task.mm!, BASE + 89 * PAGE, PAGE);
    let text = first;
    for (let part = read(file); part !== ''; part = read(file)) text += part as string;
    assert.match(text.slice(text.lastIndexOf('Size:')), /^Rss: +4 kB$/m);
    checkPageTables(machine.kernel.pgdat);
  });
});
