import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Task } from '../../src/kernel/task.ts';
import { Random } from '../differential/random.ts';
import { doBrk } from '../../src/mm/brk.ts';
import { pteAlloc, markPathPinned } from '../../src/mm/cow_pte.ts';
import { expandStack } from '../../src/mm/expand_stack.ts';
import { mmput } from '../../src/mm/fork.ts';
import { MMF_COW_PTE } from '../../src/mm/mm_struct.ts';
import { FMODE_READ, type MmStruct, type PgData, type VmFile } from '../../src/mm/mm_types.ts';
import { doMadvise } from '../../src/mm/madvise.ts';
import { doMmap, doMunmap } from '../../src/mm/mmap.ts';
import { doMprotect } from '../../src/mm/mprotect.ts';
import { doMremap } from '../../src/mm/mremap.ts';
import { GUP_PIN_COUNTING_BIAS } from '../../src/mm/page.ts';
import { checkPageTables } from '../../src/mm/page_table_check.ts';
import { shmemFileSetup } from '../../src/mm/shmem.ts';
import { clearSoftDirty } from '../../src/mm/soft_dirty.ts';
import { getUser32, putUser32 } from '../../src/mm/uaccess.ts';
import { VM_GROWSDOWN } from '../../src/mm/vma.ts';
import { EFAULT } from '../../src/uapi/errno.ts';
import { O_WRONLY } from '../../src/uapi/fcntl.ts';
import {
  MADV_DONTNEED,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_GROWSDOWN,
  MAP_PRIVATE,
  MAP_SHARED,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
} from '../../src/uapi/mman.ts';
import {
  BASE,
  map,
  MIB,
  PAGE,
  pageoutRange,
  peek,
  PMD,
  pteAt,
  testSwapon,
  touch,
} from '../unit/mm/harness.ts';
import {
  bootProc,
  cat,
  forkTask,
  mustOpen,
  newTask,
  read,
  write,
  type ProcMachine,
} from '../unit/fs/proc_harness.ts';

const SOFT_DIRTY_BIT = 55n;

function clear(task: Task): void {
  const file = mustOpen(task, `/proc/${task.pid}/clear_refs`, O_WRONLY);
  assert.equal(write(file, '4'), 1);
  file.putFile();
}

/** Which of `pages` pages from `addr` on are soft-dirty, as `1` and `.`. */
function dirty(task: Task, addr: number, pages: number): string {
  const file = mustOpen(task, `/proc/${task.pid}/pagemap`);
  const bytes = Buffer.from(read(file, pages * 8, (addr / PAGE) * 8) as string, 'latin1');
  file.putFile();
  let text = '';
  for (let i = 0; i < pages; i++) {
    text += (bytes.readBigUInt64LE(i * 8) >> SOFT_DIRTY_BIT) & 1n ? '1' : '.';
  }
  return text;
}

function setup(cowPte: boolean): { machine: ProcMachine; task: Task; mm: MmStruct; pgdat: PgData } {
  const machine = bootProc();
  const task = newTask(machine);
  const mm = task.mm!;
  if (!cowPte) mm.flags &= ~MMF_COW_PTE;
  return { machine, task, mm, pgdat: machine.kernel.pgdat };
}

function vmFlags(task: Task): string {
  return /^VmFlags: (.*) $/m.exec(cat(task, `/proc/${task.pid}/smaps`))![1]!;
}

for (const cowPte of [true, false]) {
  describe(`patch 12: soft-dirty pages, ${cowPte ? 'shared' : 'copied'} page tables`, () => {
    it('are all of a new mapping, then those written since', () => {
      const { task, mm, pgdat } = setup(cowPte);
      map(mm, BASE, 8 * PAGE);
      assert.match(vmFlags(task), / sd$/);
      assert.equal(dirty(task, BASE - PAGE, 10), '.11111111.');
      touch(mm, BASE, 3 * PAGE);
      clear(task);
      assert.doesNotMatch(vmFlags(task), / sd$/);
      assert.equal(dirty(task, BASE, 8), '........');
      touch(mm, BASE + PAGE, PAGE, 2);
      touch(mm, BASE + 5 * PAGE, PAGE, 2);
      assert.equal(peek(mm, BASE + 2 * PAGE), 1);
      assert.equal(peek(mm, BASE + 6 * PAGE), 0);
      assert.equal(dirty(task, BASE, 8), '.1...1..');
      clear(task);
      assert.equal(dirty(task, BASE, 8), '........');
      touch(mm, BASE + PAGE, PAGE, 3);
      assert.equal(dirty(task, BASE, 8), '.1......');
      checkPageTables(pgdat);
    });

    it('are inherited by a child, and then each has its own', () => {
      const { machine, task, mm, pgdat } = setup(cowPte);
      map(mm, BASE, 2 * PMD);
      touch(mm, BASE, 8 * PAGE);
      touch(mm, BASE + PMD, 8 * PAGE);
      clear(task);
      touch(mm, BASE + 2 * PAGE, PAGE, 2);
      const child = forkTask(machine, task);
      assert.equal(dirty(child, BASE, 8), '..1.....');
      clear(child);
      assert.equal(dirty(child, BASE, 8), '........');
      assert.equal(dirty(task, BASE, 8), '..1.....');
      touch(child.mm!, BASE + 4 * PAGE, PAGE, 3);
      touch(mm, BASE + PMD, PAGE, 4);
      assert.equal(dirty(child, BASE, 8), '....1...');
      assert.equal(dirty(task, BASE, 8), '..1.....');
      assert.equal(dirty(child, BASE + PMD, 8), '........');
      assert.equal(dirty(task, BASE + PMD, 8), '1.......');
      const grandchild = forkTask(machine, child);
      clear(task);
      assert.equal(dirty(grandchild, BASE, 8), '....1...');
      assert.equal(dirty(child, BASE, 8), '....1...');
      checkPageTables(pgdat);
      mmput(child.mm!);
      child.mm = null;
      touch(grandchild.mm!, BASE, PAGE, 9);
      assert.equal(dirty(grandchild, BASE, 8), '1...1...');
      assert.equal(dirty(task, BASE, 8), '........');
      assert.equal(peek(mm, BASE), 1);
      checkPageTables(pgdat);
    });

    it('cleared before a fork are clean in parent and child, and writes to either are told apart', () => {
      const { machine, task, mm, pgdat } = setup(cowPte);
      map(mm, BASE, PMD);
      touch(mm, BASE, 4 * PAGE);
      clear(task);
      const child = forkTask(machine, task);
      assert.equal(dirty(child, BASE, 4), '....');
      touch(mm, BASE, PAGE, 5);
      touch(child.mm!, BASE + PAGE, PAGE, 6);
      assert.equal(dirty(task, BASE, 4), '1...');
      assert.equal(dirty(child, BASE, 4), '.1..');
      assert.equal(peek(child.mm!, BASE), 1);
      checkPageTables(pgdat);
    });

    it('stay what they are when rights go and come back', () => {
      const { task, mm, pgdat } = setup(cowPte);
      map(mm, BASE, 4 * PAGE);
      touch(mm, BASE, 4 * PAGE);
      clear(task);
      touch(mm, BASE + PAGE, PAGE, 2);
      for (const prot of [PROT_READ, 0, PROT_READ | PROT_WRITE]) {
        assert.equal(doMprotect(mm, BASE, 4 * PAGE, prot), 0);
        assert.equal(dirty(task, BASE, 4), '.1..');
        checkPageTables(pgdat);
      }
      touch(mm, BASE + 2 * PAGE, PAGE, 2);
      assert.equal(dirty(task, BASE, 4), '.11.');
      checkPageTables(pgdat);
    });

    it('of a shared mapping are noticed at the first write, also of a page only read before', () => {
      const { task, mm, pgdat } = setup(cowPte);
      const file = shmemFileSetup(pgdat, '/dev/zero (deleted)', 8 * PAGE);
      map(mm, BASE, 8 * PAGE, { file, flags: MAP_SHARED });
      touch(mm, BASE, 4 * PAGE);
      clear(task);
      assert.equal(peek(mm, BASE + 5 * PAGE), 0);
      assert.equal(peek(mm, BASE + PAGE), 1);
      assert.equal(dirty(task, BASE, 8), '........');
      touch(mm, BASE + PAGE, PAGE, 2);
      touch(mm, BASE + 5 * PAGE, PAGE, 2);
      touch(mm, BASE + 7 * PAGE, PAGE, 2);
      assert.equal(dirty(task, BASE, 8), '.1...1.1');
      checkPageTables(pgdat);
      assert.equal(doMunmap(mm, BASE, 8 * PAGE), 0);
      checkPageTables(pgdat);
    });

    it('are noticed in a private mapping of a file, before and after its copy', () => {
      const { task, mm, pgdat } = setup(cowPte);
      const file: VmFile = Object.assign(shmemFileSetup(pgdat, '/f', 8 * PAGE), {
        fMode: FMODE_READ,
      });
      map(mm, BASE, 8 * PAGE, { file });
      assert.equal(peek(mm, BASE), 0);
      touch(mm, BASE + PAGE, PAGE);
      clear(task);
      assert.equal(peek(mm, BASE + PAGE), 1);
      assert.equal(dirty(task, BASE, 4), '....');
      touch(mm, BASE, 2 * PAGE, 2);
      assert.equal(dirty(task, BASE, 4), '11..');
      checkPageTables(pgdat);
    });

    it('are those that mremap moves, one by one or by the table', () => {
      const { task, mm, pgdat } = setup(cowPte);
      const flags = MREMAP_MAYMOVE | MREMAP_FIXED;
      map(mm, BASE, 2 * PMD);
      touch(mm, BASE, 4 * PAGE);
      touch(mm, BASE + PMD, 4 * PAGE);
      clear(task);
      const to = BASE + 16 * PMD;
      assert.equal(doMremap(mm, BASE, 8 * PAGE, 8 * PAGE, flags, to + PAGE), to + PAGE);
      assert.equal(dirty(task, to, 8), '.1111...');
      assert.equal(doMremap(mm, BASE + PMD, PMD, PMD, flags, to + PMD), to + PMD);
      assert.equal(dirty(task, to + PMD, 8), '1111....');
      assert.equal(dirty(task, BASE + PMD, 8), '........');
      touch(mm, to + PMD, PAGE, 7);
      clear(task);
      assert.equal(dirty(task, to + PMD, 8), '........');
      checkPageTables(pgdat);
    });

    it('are all of a mapping that joins a soft-dirty one', () => {
      const { task, mm, pgdat } = setup(cowPte);
      map(mm, BASE, PAGE);
      touch(mm, BASE, PAGE);
      clear(task);
      map(mm, BASE + PAGE, PAGE);
      assert.equal(mm.vmas.size, 1);
      assert.equal(dirty(task, BASE, 2), '11');
      clear(task);
      assert.equal(dirty(task, BASE, 2), '..');
      map(mm, BASE + 2 * PAGE, PAGE, { prot: PROT_READ | PROT_WRITE | PROT_EXEC });
      assert.equal(dirty(task, BASE, 3), '..1');
      assert.equal(doMprotect(mm, BASE, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
      assert.equal(mm.vmas.size, 1);
      assert.equal(dirty(task, BASE, 3), '111');
      touch(mm, BASE, 3 * PAGE, 4);
      clear(task);
      assert.equal(dirty(task, BASE, 3), '...');
      checkPageTables(pgdat);
    });

    it('are those of a heap that grew, and of memory mapped where other memory was', () => {
      const { task, mm, pgdat } = setup(cowPte);
      mm.startBrk = mm.brk = BASE;
      doBrk(mm, BASE + 2 * PAGE);
      touch(mm, BASE, PAGE);
      clear(task);
      assert.equal(dirty(task, BASE, 2), '..');
      doBrk(mm, BASE + 4 * PAGE);
      assert.equal(dirty(task, BASE, 4), '1111');
      clear(task);
      doMunmap(mm, BASE, 4 * PAGE);
      map(mm, BASE, 2 * PAGE);
      assert.equal(dirty(task, BASE, 4), '11..');
      checkPageTables(pgdat);
    });

    it('of a stack are those written, however it grows', () => {
      const { task, mm, pgdat } = setup(cowPte);
      const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN;
      doMmap(mm, BASE, PAGE, PROT_READ | PROT_WRITE, flags, null, 0);
      clear(task);
      const vma = mm.vmas.find(BASE)!;
      assert.notEqual(vma.flags & VM_GROWSDOWN, 0);
      assert.equal(expandStack(vma, BASE - 2 * PAGE), 0);
      touch(mm, BASE - PAGE, PAGE);
      assert.equal(dirty(task, BASE - 2 * PAGE, 3), '.1.');
      checkPageTables(pgdat);
    });

    it('are told by PAGEMAP_SCAN and pagemap alike', () => {
      const { task, mm, pgdat } = setup(cowPte);
      map(mm, BASE, 4 * PAGE);
      touch(mm, BASE, 4 * PAGE);
      clear(task);
      touch(mm, BASE + PAGE, PAGE, 2);
      const arg = BASE + 32 * PMD;
      map(mm, arg, 2 * PAGE);
      const words = [96, 0, BASE, BASE + 4 * PAGE, 0, arg + PAGE, 8, 0, 0, 0x80, 0, 0x88];
      words.forEach((word, i) => {
        putUser32(mm, arg + i * 8, word);
        putUser32(mm, arg + i * 8 + 4, Math.floor(word / 2 ** 32));
      });
      const file = mustOpen(task, `/proc/${task.pid}/pagemap`);
      assert.equal(file.fOps.ioctl!(file, 0xc060_6610, arg, mm, task), 1);
      assert.equal(getUser32(mm, arg + PAGE), (BASE + PAGE) % 2 ** 32);
      assert.equal(getUser32(mm, arg + PAGE + 16), 0x88);
      checkPageTables(pgdat);
    });
  });
}

describe('patch 12: clearing soft-dirty bits', () => {
  it('costs the entries of the root and changes no table below', () => {
    const { machine, task, mm, pgdat } = setup(true);
    map(mm, BASE, 4 * PMD);
    touch(mm, BASE, 4 * PMD);
    const child = forkTask(machine, task);
    const { u32 } = pgdat.ram;
    const before = Array.from(pgdat.page.ptRefs);
    const tables = pgdat.pageTables;
    clear(child);
    assert.deepEqual(Array.from(pgdat.page.ptRefs), before);
    assert.equal(pgdat.pageTables, tables);
    let marked = 0;
    for (let i = 0; i < 512; i++) if ((u32[mm.pgd * 1024 + i * 2]! & 0x100) !== 0) marked++;
    assert.equal(marked, 0);
    for (let i = 0; i < 512; i++) if ((u32[child.mm!.pgd * 1024 + i * 2]! & 0x100) !== 0) marked++;
    assert.equal(marked, 1);
    checkPageTables(pgdat);
  });

  it('leaves a page that somebody has pinned for writing soft-dirty', () => {
    const { task, mm, pgdat } = setup(true);
    map(mm, BASE, 2 * PMD);
    touch(mm, BASE, 4 * PAGE);
    touch(mm, BASE + PMD, PAGE);
    const ptep = pteAlloc(mm, BASE + PAGE);
    const pfn = (pgdat.ram.u32[ptep]! >>> 10) & 0xfffff;
    pgdat.page.refcount[pfn]! += GUP_PIN_COUNTING_BIAS;
    markPathPinned(mm, BASE + PAGE);
    clear(task);
    assert.equal(dirty(task, BASE, 4), '.1..');
    assert.equal(dirty(task, BASE + PMD, 2), '..');
    touch(mm, BASE + 3 * PAGE, PAGE, 2);
    assert.equal(dirty(task, BASE, 4), '.1.1');
    pgdat.page.refcount[pfn]! -= GUP_PIN_COUNTING_BIAS;
    clear(task);
    assert.equal(dirty(task, BASE, 4), '....');
    checkPageTables(pgdat);
  });

  it('needs no memory, and a write afterwards that finds none changes nothing', () => {
    const { machine, task, mm, pgdat } = setup(true);
    map(mm, BASE, PMD);
    touch(mm, BASE, 4 * PAGE);
    forkTask(machine, task);
    pgdat.failAllocAfter = 1;
    clearSoftDirty(mm);
    assert.equal(pgdat.failAllocAfter, 1);
    for (let n = 1; ; n++) {
      pgdat.failAllocAfter = n;
      const err = putUser32(mm, BASE + PAGE, 9);
      const failed = pgdat.failAllocAfter === 0;
      pgdat.failAllocAfter = 0;
      assert.equal(peek(mm, BASE + PAGE), failed ? 1 : 9);
      assert.equal(dirty(task, BASE, 4), failed ? '....' : '.1..');
      checkPageTables(pgdat);
      if (!failed) break;
      assert.equal(err, -EFAULT);
      assert.ok(n < 10);
    }
  });

  it('holds for a hundred rounds of clearing and writing over fork trees', () => {
    const { machine, task, pgdat } = setup(true);
    const tasks = [task];
    const model = [new Set<number>()];
    const pages = 24;
    const at = (page: number): number => BASE + Math.floor(page / 8) * PMD + (page % 8) * PAGE;
    map(task.mm!, BASE, 3 * PMD);
    for (let page = 0; page < pages; page++) touch(task.mm!, at(page), PAGE);
    clear(task);
    let seed = 7;
    const random = (n: number): number => {
      seed = (seed * 1103515245 + 12345) % 2 ** 31;
      return Math.floor(seed / 65536) % n;
    };
    for (let round = 0; round < 400; round++) {
      const who = random(tasks.length);
      const kind = random(10);
      if (kind === 0 && tasks.length < 6) {
        tasks.push(forkTask(machine, tasks[who]!));
        model.push(new Set(model[who]));
      } else if (kind === 1 && tasks.length > 1) {
        const [gone] = tasks.splice(who, 1);
        model.splice(who, 1);
        mmput(gone!.mm!);
        gone!.mm = null;
        machine.kernel.tasks.delete(gone!.pid);
      } else if (kind === 2) {
        clear(tasks[who]!);
        model[who]!.clear();
      } else {
        const page = random(pages);
        touch(tasks[who]!.mm!, at(page), PAGE, round);
        model[who]!.add(page);
      }
      for (let i = 0; i < tasks.length; i++) {
        let got = '';
        for (let part = 0; part < 3; part++) got += dirty(tasks[i]!, BASE + part * PMD, 8);
        const want = Array.from({ length: pages }, (_v, p) => (model[i]!.has(p) ? '1' : '.'));
        assert.equal(got, want.join(''), `round ${round}, process ${i}`);
      }
      if (round % 20 === 0) checkPageTables(pgdat);
    }
    checkPageTables(pgdat);
    assert.ok(pgdat.ram.u8.length >= 32 * MIB);
  });

  for (const cowPte of [true, false]) {
    it(`loses no write over random calls, ${cowPte ? 'shared' : 'copied'} page tables`, () => {
      const { machine, task, mm, pgdat } = setup(cowPte);
      testSwapon(pgdat, 512);
      const random = new Random(12);
      const pages = 48;
      const slot = (page: number): number =>
        BASE + Math.floor(page / 16) * PMD + (page % 16) * PAGE;
      const file = shmemFileSetup(pgdat, '/dev/zero (deleted)', 16 * PAGE);
      map(mm, BASE, PMD);
      map(mm, BASE + PMD, PMD);
      map(mm, BASE + 2 * PMD, 16 * PAGE, { file, flags: MAP_SHARED });
      const procs = [{ task, written: new Set<number>(), readOnly: new Set<number>() }];
      const write = (index: number, page: number): void => {
        const proc = procs[index]!;
        const err = putUser32(proc.task.mm!, slot(page), page + 1);
        if (err === 0) proc.written.add(page);
        else assert.ok(proc.readOnly.has(page), `write of page ${page} gave ${err}`);
      };
      for (let page = 0; page < pages; page++) write(0, page);
      const steps: ((index: number) => void)[] = [
        (index) => {
          clearSoftDirty(procs[index]!.task.mm!);
          procs[index]!.written.clear();
        },
        (index) => {
          if (procs.length >= 5) return;
          const parent = procs[index]!;
          procs.push({
            task: forkTask(machine, parent.task),
            // Default fork leaves shared memory to the child's own faults.
            written: new Set([...parent.written].filter((page) => cowPte || page < 32)),
            readOnly: new Set(parent.readOnly),
          });
        },
        (index) => {
          if (procs.length === 1) return;
          const [gone] = procs.splice(index, 1);
          mmput(gone!.task.mm!);
          gone!.task.mm = null;
          machine.kernel.tasks.delete(gone!.task.pid);
        },
        (index) => {
          const page = random.below(pages);
          const { readOnly, task: of } = procs[index]!;
          const back = readOnly.has(page);
          const prot = back ? PROT_READ | PROT_WRITE : PROT_READ;
          assert.equal(doMprotect(of.mm!, slot(page), PAGE, prot), 0);
          if (back) readOnly.delete(page);
          else readOnly.add(page);
        },
        (index) => pageoutRange(procs[index]!.task.mm!, slot(random.below(pages - 16)), 4 * PAGE),
        (index) => {
          // There and back again: what moved counts as written.
          const proc = procs[index]!;
          const page = random.below(32);
          const flags = MREMAP_MAYMOVE | MREMAP_FIXED;
          const away = BASE + 64 * PMD + random.below(4) * PAGE;
          const hasPage = pteAt(proc.task.mm!, slot(page)) !== 0;
          assert.equal(doMremap(proc.task.mm!, slot(page), PAGE, PAGE, flags, away), away);
          assert.equal(doMremap(proc.task.mm!, away, PAGE, PAGE, flags, slot(page)), slot(page));
          if (hasPage) proc.written.add(page);
        },
        (index) => {
          const page = random.below(32);
          const proc = procs[index]!;
          assert.equal(doMadvise(proc.task.mm!, slot(page), PAGE, MADV_DONTNEED), 0);
          proc.written.delete(page);
        },
        (index) => {
          const page = random.below(pages);
          getUser32(procs[index]!.task.mm!, slot(page));
        },
      ];
      for (let round = 0; round < 1500; round++) {
        const index = random.below(procs.length);
        if (random.below(2) === 0) write(index, random.below(pages));
        else steps[random.below(steps.length)]!(index);
        for (const { task: of, written } of procs) {
          let got = '';
          for (let part = 0; part < 3; part++) got += dirty(of, BASE + part * PMD, 16);
          for (const page of written) {
            assert.equal(got[page], '1', `round ${round}: page ${page} of process ${of.pid}`);
          }
        }
        if (round % 50 === 0) checkPageTables(pgdat);
      }
      checkPageTables(pgdat);
    });
  }
});
