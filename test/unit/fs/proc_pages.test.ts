import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ptePfn, type Pte } from '../../../src/arch/riscv/pgtable.ts';
import type { Task } from '../../../src/kernel/task.ts';
import { mmput } from '../../../src/mm/fork.ts';
import { doMadvise } from '../../../src/mm/madvise.ts';
import { MMF_COW_PTE } from '../../../src/mm/mm_struct.ts';
import { checkPageTables } from '../../../src/mm/page_table_check.ts';
import { ptePtrOf } from '../../../src/mm/pgtable.ts';
import { copyFromUser, copyToUser } from '../../../src/mm/uaccess.ts';
import { EACCES, EFAULT, EINVAL, EPERM, ESRCH } from '../../../src/uapi/errno.ts';
import * as fs from '../../../src/uapi/fs.ts';
import {
  MADV_FREE,
  MADV_GUARD_INSTALL,
  MADV_GUARD_REMOVE,
  MAP_SHARED,
} from '../../../src/uapi/mman.ts';
import { shmemFileSetup } from '../../../src/mm/shmem.ts';
import { BASE, map, PAGE, peek, PMD, touch } from '../mm/harness.ts';
import {
  bootProc,
  cat,
  field,
  forkTask,
  mustOpen,
  newTask,
  open,
  read,
  type ProcMachine,
  USER,
} from './proc_harness.ts';

const ARG = BASE + 64 * PMD;
const VEC = ARG + PAGE;
const UNMAPPED = ARG + 8 * PAGE;
const { PAGE_IS_FILE, PAGE_IS_PFNZERO, PAGE_IS_PRESENT, PAGE_IS_WRITTEN } = fs;
const ALL = 0x1ff & ~fs.PAGE_IS_SOFT_DIRTY;

interface Scan {
  size?: number;
  flags?: number;
  start?: number;
  end?: number;
  vec?: number;
  vecLen?: number;
  maxPages?: number;
  inverted?: number;
  mask?: number;
  anyof?: number;
  ret?: number;
  maskHi?: number;
}

class Scanner {
  readonly machine: ProcMachine = bootProc();
  readonly task: Task = newTask(this.machine);
  readonly file = mustOpen(this.task, `/proc/${this.task.pid}/pagemap`);

  constructor() {
    map(this.task.mm!, ARG, 4 * PAGE);
  }

  ioctl(cmd: number, arg: number): number {
    return this.file.fOps.ioctl!(this.file, cmd, arg, this.task.mm!, this.task);
  }

  scan(s: Scan): number {
    const words = [
      s.size ?? fs.PM_SCAN_ARG_BYTES,
      s.flags ?? 0,
      s.start ?? BASE,
      s.end ?? BASE + 4 * PMD,
      77,
      s.vec ?? VEC,
      s.vecLen ?? 100,
      s.maxPages ?? 0,
      s.inverted ?? 0,
      s.mask ?? 0,
      s.anyof ?? 0,
      s.ret ?? ALL,
    ];
    const bytes = Buffer.alloc(words.length * 8);
    words.forEach((word, i) => {
      bytes.writeBigUInt64LE(BigInt(word), i * 8);
    });
    bytes.writeUInt32LE(s.maskHi ?? 0, fs.PMS_CATEGORY_MASK + 4);
    assert.equal(copyToUser(this.task.mm!, ARG, bytes), 0);
    return this.ioctl(fs.PAGEMAP_SCAN, ARG);
  }

  /** `start-end:categories` in pages from BASE for each region, then where the walk ended; or the error. */
  regions(s: Scan): string | number {
    const n = this.scan(s);
    if (n < 0) return n;
    const bytes = Buffer.alloc(Math.max(n, 1) * fs.PAGE_REGION_BYTES);
    if (n > 0) assert.equal(copyFromUser(this.task.mm!, bytes, VEC), 0);
    const word = (at: number): number => Number(bytes.readBigUInt64LE(at));
    const page = (addr: number): number => (addr - BASE) / PAGE;
    let text = '';
    for (let i = 0; i < n; i++) {
      const at = i * fs.PAGE_REGION_BYTES;
      text += `${page(word(at))}-${page(word(at + 8))}:${word(at + 16).toString(16)} `;
    }
    return `${text}end ${page(this.walkEnd())}`;
  }

  walkEnd(): number {
    const bytes = Buffer.alloc(8);
    assert.equal(copyFromUser(this.task.mm!, bytes, ARG + fs.PMS_WALK_END), 0);
    return Number(bytes.readBigUInt64LE());
  }
}

describe('PAGEMAP_SCAN', () => {
  it('tells runs of pages by what they are', () => {
    const scanner = new Scanner();
    const mm = scanner.task.mm!;
    map(mm, BASE, 8 * PAGE);
    touch(mm, BASE, 2 * PAGE);
    peek(mm, BASE + 3 * PAGE);
    const file = shmemFileSetup(mm.pgdat, '/dev/zero (deleted)', 2 * PAGE);
    map(mm, BASE + 8 * PAGE, 2 * PAGE, { file, flags: MAP_SHARED });
    touch(mm, BASE + 9 * PAGE, PAGE);
    const mask = PAGE_IS_PRESENT;
    const written = PAGE_IS_WRITTEN;
    assert.equal(scanner.regions({}), '0-2:a 2-3:2 3-4:2a 4-9:2 9-10:e end 2048');
    assert.equal(scanner.regions({ mask }), '0-2:a 3-4:2a 9-10:e end 2048');
    assert.equal(scanner.regions({ mask: PAGE_IS_FILE }), '9-10:e end 2048');
    assert.equal(scanner.regions({ mask: mask | written }), '0-2:a 3-4:2a 9-10:e end 2048');
    assert.equal(scanner.regions({ mask, inverted: mask }), '2-3:2 4-9:2 end 2048');
    const anyof = PAGE_IS_PFNZERO | PAGE_IS_FILE;
    assert.equal(scanner.regions({ anyof }), '3-4:2a 9-10:e end 2048');
    assert.equal(scanner.regions({ anyof, ret: PAGE_IS_PRESENT }), '3-4:8 9-10:8 end 2048');
    assert.equal(scanner.regions({ mask: fs.PAGE_IS_WPALLOWED }), 'end 2048');
    checkPageTables(mm.pgdat);
  });

  it('finds guards', () => {
    const scanner = new Scanner();
    const mm = scanner.task.mm!;
    map(mm, BASE, 4 * PAGE);
    touch(mm, BASE, 4 * PAGE);
    doMadvise(mm, BASE + PAGE, 2 * PAGE, MADV_GUARD_INSTALL);
    assert.equal(scanner.regions({ mask: fs.PAGE_IS_GUARD }), '1-3:112 end 2048');
    assert.equal(scanner.regions({ mask: fs.PAGE_IS_SWAPPED }), '1-3:112 end 2048');
    checkPageTables(mm.pgdat);
  });

  it('takes empty entries of a table as written, and holes without a table not', () => {
    const scanner = new Scanner();
    const mm = scanner.task.mm!;
    map(mm, BASE, 2 * PMD);
    touch(mm, BASE, PAGE);
    const only = { mask: PAGE_IS_WRITTEN, ret: PAGE_IS_WRITTEN };
    assert.equal(scanner.regions(only), '0-512:2 end 2048');
    assert.equal(scanner.regions({}), '0-1:a 1-512:2 512-1024:0 end 2048');
  });

  it('stops where the pages or the regions asked for are full, and says where', () => {
    const scanner = new Scanner();
    const mm = scanner.task.mm!;
    map(mm, BASE, 8 * PAGE);
    for (const page of [0, 1, 3, 5, 6]) touch(mm, BASE + page * PAGE, PAGE);
    const mask = PAGE_IS_PRESENT;
    assert.equal(scanner.regions({ mask, maxPages: 1 }), '0-1:a end 1');
    assert.equal(scanner.regions({ mask, maxPages: 2 }), '0-2:a end 3');
    assert.equal(scanner.regions({ mask, maxPages: 4 }), '0-2:a 3-4:a 5-6:a end 6');
    assert.equal(scanner.regions({ mask, maxPages: 5 }), '0-2:a 3-4:a 5-7:a end 2048');
    assert.equal(scanner.regions({ mask, vecLen: 1 }), '0-2:a end 3');
    assert.equal(scanner.regions({ mask, vecLen: 2 }), '0-2:a 3-4:a end 5');
    assert.equal(scanner.regions({ mask, vecLen: 3 }), '0-2:a 3-4:a 5-7:a end 2048');
    assert.equal(scanner.regions({ mask, vecLen: 0, vec: 0 }), 'end 2048');
    assert.equal(scanner.regions({ mask, end: BASE + 1 }), '0-1:a end 1');
    assert.equal(scanner.regions({ mask, end: BASE }), 'end 0');
  });

  it('refuses sizes, flags, masks and addresses that are wrong', () => {
    const scanner = new Scanner();
    map(scanner.task.mm!, BASE, PAGE);
    const wrong: [Scan, number][] = [
      [{ size: 0 }, -EINVAL],
      [{ size: 95 }, -EINVAL],
      [{ size: 97 }, -EINVAL],
      [{ flags: 4 }, -EINVAL],
      [{ flags: 2 ** 32 }, -EINVAL],
      [{ flags: fs.PM_SCAN_CHECK_WPASYNC }, -EPERM],
      [{ flags: fs.PM_SCAN_CHECK_WPASYNC | fs.PM_SCAN_WP_MATCHING }, -EPERM],
      [{ flags: fs.PM_SCAN_WP_MATCHING }, 0],
      [{ mask: 0x200 }, -EINVAL],
      [{ maskHi: 1 }, -EINVAL],
      [{ inverted: 0x200 }, -EINVAL],
      [{ anyof: 0x8000_0000 }, -EINVAL],
      [{ ret: 0x200 }, -EINVAL],
      [{ start: BASE + 1 }, -EINVAL],
      [{ end: BASE - PAGE }, -EFAULT],
      [{ end: 2 ** 63 + PMD }, -EFAULT],
      [{ vec: 0 }, -EINVAL],
      [{ vec: UNMAPPED }, -EFAULT],
      [{ vecLen: 2 ** 62 }, -EFAULT],
    ];
    for (const [scan, ret] of wrong) {
      assert.equal(scanner.scan(scan), ret, JSON.stringify(scan));
    }
    assert.equal(scanner.ioctl(fs.PAGEMAP_SCAN, UNMAPPED), -EFAULT);
    assert.equal(scanner.ioctl(fs.PROCMAP_QUERY, ARG), -EINVAL);
    assert.equal(scanner.ioctl(0x5401, ARG), -EINVAL);
  });
});

/** Entries of pagemap as [bits 55-63, frame], from BASE on. */
function pagemap(viewer: Task, of: Task, pages: number): [number, number][] {
  const file = mustOpen(viewer, `/proc/${of.pid}/pagemap`);
  const bytes = Buffer.from(read(file, pages * 8, (BASE / PAGE) * 8) as string, 'latin1');
  return Array.from({ length: pages }, (_unused, i) => {
    const word = bytes.readBigUInt64LE(i * 8);
    return [Number(word >> 55n) & ~1, Number(word & ((1n << 55n) - 1n))];
  });
}
const HERE = 1 << 8;
const ELSEWHERE = 1 << 7;
const GUARD = 1 << 3;
const ALONE = 1 << 1;

describe('/proc/PID/pagemap', () => {
  for (const cowPte of [true, false]) {
    it(`says who has a page alone (D17), ${cowPte ? 'shared' : 'copied'} page tables`, () => {
      const machine = bootProc();
      const parent = newTask(machine);
      if (!cowPte) parent.mm!.flags &= ~MMF_COW_PTE;
      map(parent.mm!, BASE, 8 * PAGE);
      touch(parent.mm!, BASE, 3 * PAGE);
      peek(parent.mm!, BASE + 3 * PAGE);
      const bits = (of: Task): number[] => pagemap(parent, of, 5).map(([flags]) => flags);
      const alone = HERE | ALONE;
      assert.deepEqual(bits(parent), [alone, alone, alone, HERE, 0]);
      const child = forkTask(machine, parent);
      assert.deepEqual(bits(parent), [HERE, HERE, HERE, HERE, 0]);
      touch(child.mm!, BASE + PAGE, PAGE, 2);
      assert.deepEqual(bits(parent), [HERE, alone, HERE, HERE, 0]);
      assert.deepEqual(bits(child), [HERE, alone, HERE, HERE, 0]);
      mmput(child.mm!);
      child.mm = null;
      assert.deepEqual(bits(parent), [alone, alone, alone, HERE, 0]);
      checkPageTables(machine.kernel.pgdat);
    });
  }

  it('shows guards, as entries that are elsewhere', () => {
    const machine = bootProc();
    const task = newTask(machine);
    map(task.mm!, BASE, 2 * PAGE);
    doMadvise(task.mm!, BASE + PAGE, PAGE, MADV_GUARD_INSTALL);
    const [first, second] = pagemap(task, task, 2);
    assert.deepEqual(first, [0, 0]);
    assert.equal(second![0], ELSEWHERE | GUARD);
    doMadvise(task.mm!, BASE, 2 * PAGE, MADV_GUARD_REMOVE);
    assert.deepEqual(pagemap(task, task, 2)[1], [0, 0]);
  });

  it('shows frames to root only, whoever holds the file then', () => {
    const machine = bootProc();
    const root = newTask(machine);
    const user = newTask(machine, { cred: USER });
    map(user.mm!, BASE, PAGE);
    touch(user.mm!, BASE, PAGE);
    const pfn = ptePfn(user.mm!.pgdat.ram.u32[ptePtrOf(user.mm!, BASE)] as Pte);
    assert.equal(pagemap(root, user, 1)[0]![1], pfn);
    assert.equal(pagemap(user, user, 1)[0]![1], 0);
    assert.equal(open(user, `/proc/${root.pid}/pagemap`), -EACCES);
  });

  it('is empty once the memory is gone, and cannot be opened then', () => {
    const machine = bootProc();
    const root = newTask(machine);
    const other = newTask(machine);
    const file = mustOpen(root, `/proc/${other.pid}/pagemap`);
    mmput(other.mm!);
    other.mm = null;
    assert.equal(read(file, 8, (BASE / PAGE) * 8), '');
    assert.equal(open(root, `/proc/${other.pid}/pagemap`), -ESRCH);
    assert.equal(open(root, `/proc/${other.pid}/smaps_rollup`), -ESRCH);
  });
});

describe('/proc/kpagecount and kpageflags', () => {
  const word = (viewer: Task, file: string, pfn: number): bigint => {
    const text = read(mustOpen(viewer, `/proc/${file}`), 8, pfn * 8);
    assert.equal(typeof text, 'string');
    return Buffer.from(text as string, 'latin1').readBigUInt64LE();
  };

  it('count every process that maps a frame (D17)', () => {
    const machine = bootProc();
    const task = newTask(machine);
    map(task.mm!, BASE, 8 * PAGE);
    touch(task.mm!, BASE, 2 * PAGE);
    const pfn = pagemap(task, task, 1)[0]![1];
    assert.equal(word(task, 'kpagecount', pfn), 1n);
    const child = forkTask(machine, task);
    forkTask(machine, child);
    assert.equal(word(task, 'kpagecount', pfn), 3n);
    touch(child.mm!, BASE, PAGE, 2);
    assert.equal(word(task, 'kpagecount', pfn), 2n);
    assert.equal(word(task, 'kpagecount', pagemap(task, child, 1)[0]![1]), 1n);
  });

  it('tell anonymous, zero, table, free and kernel frames', () => {
    const machine = bootProc();
    const task = newTask(machine);
    const { pgdat } = machine.kernel;
    map(task.mm!, BASE, 8 * PAGE);
    touch(task.mm!, BASE, PAGE);
    const flags = (pfn: number): bigint => word(task, 'kpageflags', pfn);
    const pfn = pagemap(task, task, 1)[0]![1];
    const page = (1n << 11n) | (1n << 12n) | (1n << 14n) | (1n << 3n) | (1n << 5n);
    assert.equal(flags(pfn), page);
    assert.equal(flags(pgdat.zeroPfn), (1n << 24n) | (1n << 32n));
    assert.equal(flags(task.mm!.pgd), 1n << 26n);
    assert.equal(flags(0), 1n << 32n);
    const last = pgdat.ram.layout.nrFrames - 1;
    assert.equal(flags(last), 1n << 10n);
    assert.equal(word(task, 'kpagecount', task.mm!.pgd), 0n);
    assert.equal(word(task, 'kpagecount', last), 0n);
    assert.equal(word(task, 'kpagecgroup', pfn), 0n);
  });

  it('are read in whole entries, by root', () => {
    const machine = bootProc();
    const task = newTask(machine);
    const user = newTask(machine, { cred: USER });
    const { nrFrames } = machine.kernel.pgdat.ram.layout;
    for (const name of ['kpagecount', 'kpageflags', 'kpagecgroup']) {
      const file = mustOpen(task, `/proc/${name}`);
      assert.equal(read(file, 7, 0), -EINVAL);
      assert.equal(read(file, 8, 4), -EINVAL);
      assert.equal((read(file, 64, nrFrames * 8 - 16) as string).length, 16);
      assert.equal(read(file, 8, nrFrames * 8), '');
      assert.equal((read(file, nrFrames * 8, 0) as string).length, nrFrames * 8);
      assert.equal(open(user, `/proc/${name}`), -EACCES);
    }
  });
});

describe('LazyFree of smaps_rollup', () => {
  it('counts what MADV_FREE gave up and nobody has written since', () => {
    const machine = bootProc();
    const task = newTask(machine);
    map(task.mm!, BASE, 4 * PAGE);
    touch(task.mm!, BASE, 4 * PAGE);
    const lazy = (): number => field(cat(task, `/proc/${task.pid}/smaps_rollup`), 'LazyFree');
    assert.equal(lazy(), 0);
    doMadvise(task.mm!, BASE, 3 * PAGE, MADV_FREE);
    assert.equal(lazy(), 12);
    touch(task.mm!, BASE, PAGE);
    assert.equal(lazy(), 8);
  });
});

describe('the sum of all Pss (D17)', () => {
  for (const cowPte of [true, false]) {
    it(`is the frames in use, ${cowPte ? 'shared' : 'copied'} page tables`, () => {
      const machine = bootProc();
      const { pgdat } = machine.kernel;
      const parent = newTask(machine);
      if (!cowPte) parent.mm!.flags &= ~MMF_COW_PTE;
      map(parent.mm!, BASE, 2 * PMD);
      touch(parent.mm!, BASE, 2 * PMD);
      const tasks = [parent];
      for (let i = 0; i < 7; i++) {
        const child = forkTask(machine, tasks[i % 3]!);
        tasks.push(child);
        touch(child.mm!, BASE + i * 16 * PAGE, 24 * PAGE, i);
      }
      let pss = 0;
      for (const task of tasks) pss += field(cat(parent, `/proc/${task.pid}/smaps_rollup`), 'Pss');
      let frames = 0;
      const { flags, mapcount } = pgdat.page;
      const { firstFrame, nrFrames } = pgdat.ram.layout;
      for (let pfn = firstFrame; pfn < nrFrames; pfn++) {
        if ((flags[pfn]! & 0x7) === 0 && mapcount[pfn]! > 0) frames++;
      }
      assert.equal(frames, 1024 + 7 * 24);
      const kb = frames * 4;
      assert.ok(pss <= kb && pss > kb - tasks.length, `${pss} kB of ${kb}`);
      checkPageTables(pgdat);
    });
  }
});
