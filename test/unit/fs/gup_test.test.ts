import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { File } from '../../../src/fs/fs_types.ts';
import type { Task } from '../../../src/kernel/task.ts';
import { mmput } from '../../../src/mm/fork.ts';
import { GUP_PIN_COUNTING_BIAS } from '../../../src/mm/page.ts';
import { checkPageTables } from '../../../src/mm/page_table_check.ts';
import { ptePtrOf } from '../../../src/mm/pgtable.ts';
import { ptePfn, type Pte } from '../../../src/arch/riscv/pgtable.ts';
import { putUser32, putUser64, getUser64 } from '../../../src/mm/uaccess.ts';
import { EACCES, EFAULT, EINVAL, ENOMEM, ENOTTY } from '../../../src/uapi/errno.ts';
import { O_RDWR } from '../../../src/uapi/fcntl.ts';
import {
  DUMP_USER_PAGES_TEST,
  GUP_BASIC_TEST,
  GUP_FAST_BENCHMARK,
  PIN_BASIC_TEST,
  PIN_FAST_BENCHMARK,
  PIN_LONGTERM_BENCHMARK,
  PIN_LONGTERM_TEST_READ,
  PIN_LONGTERM_TEST_START,
  PIN_LONGTERM_TEST_STOP,
} from '../../../src/uapi/gup_test.ts';
import { PROT_READ } from '../../../src/uapi/mman.ts';
import { BASE, map, PAGE, peek, PMD, touch } from '../mm/harness.ts';
import { bootProc, forkTask, mustOpen, newTask, open, type ProcMachine } from './proc_harness.ts';

const PATH = '/sys/kernel/debug/gup_test';
/** Where the ioctls' structures are put. */
const ARG = BASE - PMD;

interface Setup {
  machine: ProcMachine;
  task: Task;
  file: File;
  ioctl: (cmd: number, words?: readonly number[], addr?: number) => number;
}

/** A process with a page of 3 at BASE, and one more page that is read-only. */
function setup(): Setup {
  const machine = bootProc();
  const task = newTask(machine);
  const mm = task.mm!;
  map(mm, ARG, 4 * PAGE);
  map(mm, BASE, 2 * PAGE);
  map(mm, BASE + 2 * PAGE, PAGE, { prot: PROT_READ });
  touch(mm, BASE, PAGE, 3);
  const file = mustOpen(task, PATH, O_RDWR);
  const ioctl = (cmd: number, words: readonly number[] = [], addr = ARG): number => {
    for (let i = 0; i < words.length; i++) putUser64(mm, ARG + i * 8, words[i]!);
    return file.fOps.ioctl!(file, cmd, addr, mm, task);
  };
  return { machine, task, file, ioctl };
}

function end({ machine, task, file }: Setup): void {
  file.putFile();
  checkPageTables(machine.kernel.pgdat);
  mmput(task.mm!);
}

/** struct gup_test as words: times, address, size, pages a call with flags. */
function request(addr: number, size: number, perCall: number, flags = 0): number[] {
  return [0, 0, addr, size, perCall + flags * 2 ** 32, 0, 0, 0, 0, 0];
}

describe('/sys/kernel/debug/gup_test', () => {
  it('is for root only', () => {
    const { machine, task } = setup();
    const cred = { ...task.cred, uid: 1, euid: 1, suid: 1, fsuid: 1 };
    assert.equal(open(newTask(machine, { cred }), PATH, O_RDWR), -EACCES);
  });

  it('gets and puts pages, and says how far it came', () => {
    const s = setup();
    const { refcount } = s.machine.kernel.pgdat.page;
    const before = refcount.slice();
    for (const cmd of [GUP_FAST_BENCHMARK, PIN_FAST_BENCHMARK, GUP_BASIC_TEST, PIN_BASIC_TEST]) {
      assert.equal(s.ioctl(cmd, request(BASE, 3 * PAGE, 2)), 0);
      assert.equal(getUser64(s.task.mm!, ARG + 24), 3 * PAGE);
      assert.equal(s.ioctl(cmd, request(BASE, 4 * PAGE, 4, 1)), 0);
      assert.equal(getUser64(s.task.mm!, ARG + 24), 4 * PAGE, 'of which two pages were had');
      assert.equal(s.ioctl(cmd, request(BASE + 2 * PAGE, PAGE, 1, 1)), 0);
      assert.equal(getUser64(s.task.mm!, ARG + 24), 0, 'none can be had for writing');
    }
    const pfn = ptePfn(s.machine.kernel.pgdat.ram.u32[ptePtrOf(s.task.mm!, BASE)] as Pte);
    assert.equal(refcount[pfn], before[pfn]);
    assert.equal(s.ioctl(PIN_LONGTERM_BENCHMARK, request(BASE, PAGE, 1)), 0);
    assert.equal(getUser64(s.task.mm!, ARG + 24), PAGE);
    const words = request(BASE, PAGE, 1);
    words[5] = 1 + 1 * 2 ** 32;
    assert.equal(s.ioctl(DUMP_USER_PAGES_TEST, words), 0);
    assert.match(s.machine.kernel.log.lines.at(-1)!, new RegExp(`pfn:${pfn} `));
    end(s);
  });

  it('refuses what Linux refuses', () => {
    const s = setup();
    assert.equal(s.ioctl(0x1234), -EINVAL);
    assert.equal(s.ioctl(0xc048_6701), -EINVAL, 'a structure of another size');
    assert.equal(s.ioctl(GUP_BASIC_TEST, [], 8), -EFAULT);
    assert.equal(s.ioctl(GUP_BASIC_TEST, request(BASE, 2 ** 50, 1)), -ENOMEM);
    assert.equal(s.ioctl(GUP_BASIC_TEST, request(BASE, PAGE, 0)), 0);
    assert.equal(getUser64(s.task.mm!, ARG + 24), 0);
    assert.equal(s.ioctl(PIN_LONGTERM_TEST_START, [], 8), -EFAULT);
    for (const [addr, size, flags] of [
      [BASE, 0, 0],
      [BASE + 1, PAGE, 0],
      [BASE, 100, 0],
      [BASE, PAGE, 4],
      [BASE, -PAGE, 0],
    ] as const) {
      assert.equal(s.ioctl(PIN_LONGTERM_TEST_START, [addr, size, flags]), -EINVAL);
    }
    assert.equal(s.ioctl(PIN_LONGTERM_TEST_START, [BASE, 2 ** 50, 0]), -ENOMEM);
    assert.equal(s.ioctl(PIN_LONGTERM_TEST_START, [BASE, 4 * PAGE, 0]), -EFAULT);
    assert.equal(s.ioctl(PIN_LONGTERM_TEST_START, [BASE, 3 * PAGE, 1]), -EFAULT);
    assert.equal(s.ioctl(PIN_LONGTERM_TEST_READ, [BASE]), -EINVAL, 'nothing is pinned');
    assert.equal(s.ioctl(PIN_LONGTERM_TEST_STOP), 0);
    checkPageTables(s.machine.kernel.pgdat);
    end(s);
  });

  it('keeps long-term pins until they are stopped, one test at a time', () => {
    for (const flags of [0, 1, 2, 3]) {
      const s = setup();
      const mm = s.task.mm!;
      const child = forkTask(s.machine, s.task);
      assert.equal(s.ioctl(PIN_LONGTERM_TEST_START, [BASE, 2 * PAGE, flags]), 0);
      assert.equal(s.ioctl(PIN_LONGTERM_TEST_START, [BASE, PAGE, 0]), -EINVAL);
      putUser32(mm, BASE, 10);
      putUser32(mm, BASE + PAGE, 11);
      assert.equal(s.ioctl(PIN_LONGTERM_TEST_READ, [ARG + PAGE]), 0);
      assert.deepEqual([peek(mm, ARG + PAGE), peek(mm, ARG + 2 * PAGE)], [10, 11]);
      assert.equal(s.ioctl(PIN_LONGTERM_TEST_READ, [ARG + 3 * PAGE]), -EFAULT);
      assert.equal(s.ioctl(PIN_LONGTERM_TEST_READ, [], 8), -EFAULT);
      assert.equal(peek(child.mm!, BASE), 3);
      assert.equal(s.ioctl(PIN_LONGTERM_TEST_STOP), 0);
      checkPageTables(s.machine.kernel.pgdat);
      mmput(child.mm!);
      end(s);
    }
  });

  it('ends them when the file is closed, or its process has ended', () => {
    const s = setup();
    const { pgdat } = s.machine.kernel;
    const free = pgdat.freeFrames;
    assert.equal(s.ioctl(PIN_LONGTERM_TEST_START, [BASE, PAGE, 1]), 0);
    const pfn = ptePfn(pgdat.ram.u32[ptePtrOf(s.task.mm!, BASE)] as Pte);
    mmput(s.task.mm!);
    checkPageTables(pgdat, new Map([[pfn as number, GUP_PIN_COUNTING_BIAS]]));
    s.file.putFile();
    checkPageTables(pgdat);
    assert.ok(pgdat.freeFrames > free);
  });

  it('lets go of all pins when one cannot be had', () => {
    for (let n = 1; ; n++) {
      const s = setup();
      const { pgdat } = s.machine.kernel;
      const child = forkTask(s.machine, s.task);
      const words = [BASE, 2 * PAGE, 1];
      for (let i = 0; i < words.length; i++) putUser64(s.task.mm!, ARG + i * 8, words[i]!);
      pgdat.failAllocAfter = n;
      const err = s.ioctl(PIN_LONGTERM_TEST_START);
      pgdat.failAllocAfter = 0;
      if (err !== 0) {
        assert.equal(err, -ENOMEM);
        checkPageTables(pgdat);
        assert.equal(s.ioctl(PIN_LONGTERM_TEST_STOP), 0);
      }
      mmput(child.mm!);
      end(s);
      if (err === 0) {
        assert.ok(n > 2, 'a table, a copy and a new page were allocated');
        break;
      }
    }
  });

  it('knows no other calls', () => {
    const s = setup();
    assert.equal(s.file.fOps.read, undefined);
    assert.notEqual(s.ioctl(0x5401), -ENOTTY);
    end(s);
  });
});
