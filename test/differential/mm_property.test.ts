/**
 * Random programs of memory calls, run by the memory manager with COW page tables on and off
 * and by a naive model: results, VMAs and contents must agree after every step, and no frame
 * may be left at the end. A sixth of the steps run with an allocation failing in them first:
 * the call must then have changed nothing, or have succeeded all the same.
 *
 * MM_PROGRAMS sets how many (default 150), MM_SEED the first seed.
 */

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { EAGAIN, EFAULT, ENOMEM, errnoName } from '../../src/uapi/errno.ts';
import { MADV_POPULATE_READ, MADV_POPULATE_WRITE } from '../../src/uapi/mman.ts';
import { TestMachine } from './mm_property_machine.ts';
import * as model from './mm_property_model.ts';
import { FILE_PAGES, makeProgram, START_BRK, type Step } from './mm_property_steps.ts';
import { Random } from './random.ts';

const PROGRAMS = Number(process.env['MM_PROGRAMS'] ?? 150);
const FIRST_SEED = Number(process.env['MM_SEED'] ?? 1);
/** Processes a program has at most. */
const MAX_PROCS = 4;
/** Every this many steps everything is compared, not only what the step named. */
const FULL_CHECK_EVERY = 4;

/** Result -> how often, by operation. */
type Tally = Map<string, Map<string, number>>;

function count(tally: Tally, op: string, result: string): void {
  let row = tally.get(op);
  if (row === undefined) tally.set(op, (row = new Map()));
  row.set(result, (row.get(result) ?? 0) + 1);
}

class World {
  readonly procs: model.Proc[] = [];
  readonly handles: model.Handle[];

  constructor() {
    const a = new model.FileObject(FILE_PAGES);
    const b = new model.FileObject(FILE_PAGES);
    this.handles = [
      { object: a, writable: true },
      { object: a, writable: false },
      { object: b, writable: true },
    ];
    const init = new model.Proc();
    init.startBrk = START_BRK;
    init.brk = START_BRK;
    this.procs.push(init);
  }

  /** A copy of process `index` and of all that it can write to, for looking ahead. */
  ahead(index: number): World {
    const copy = new World();
    copy.procs[0] = this.procs[index]!.clone();
    const objects = new Map<model.FileObject, model.FileObject>();
    const copyHandle = (handle: model.Handle): model.Handle => {
      let object = objects.get(handle.object);
      if (object === undefined) {
        object = new model.FileObject(handle.object.size);
        for (const [page, content] of handle.object.pages) object.pages.set(page, content);
        objects.set(handle.object, object);
      }
      return { object, writable: handle.writable };
    };
    for (let i = 0; i < this.handles.length; i++) copy.handles[i] = copyHandle(this.handles[i]!);
    for (const state of copy.procs[0].pages.values()) {
      if (state.handle !== null) state.handle = copyHandle(state.handle);
    }
    return copy;
  }

  /** @returns what the call must return. */
  apply(step: Step, index: number, vmaEnd: number, got: number): number {
    const proc = this.procs[index]!;
    switch (step.op) {
      case 'mmap': {
        const handle = step.handle < 0 ? null : this.handles[step.handle]!;
        return model.mmap(proc, { ...step, handle }, got);
      }
      case 'munmap':
        return model.munmap(proc, step.page, step.len);
      case 'mprotect':
        return model.mprotect(proc, step.page, step.len, step.prot);
      case 'madvise':
        return model.madvise(proc, step.page, step.len, step.advice);
      case 'mlock':
        return model.mlock(proc, step.page, step.len, step.kind);
      case 'mseal':
        return model.mseal(proc, step.page, step.len);
      case 'mremap':
        return model.mremap(proc, { ...step, fixed: step.fixed && step.mayMove }, vmaEnd, got);
      case 'brk':
        return model.brk(proc, step.page);
      case 'fork':
        this.procs.push(proc.fork());
        return 0;
      case 'exit':
        this.procs.splice(index, 1);
        return 0;
      case 'read':
        return model.read(proc, step.page, step.word);
      case 'write':
        return model.write(proc, step.page, step.word, step.value);
      case 'filewrite':
        return this.filewrite(step.handle, step.index, step.word, step.value);
      case 'truncate':
        model.truncate(this.procs, this.handles[step.handle]!.object, step.pages);
        return 0;
      case 'pageout':
      case 'reclaim':
      case 'swapoff':
        return 0;
    }
  }

  private filewrite(handle: number, index: number, word: number, value: number): number {
    const { object } = this.handles[handle]!;
    const old = object.pages.get(index) ?? model.ZERO;
    object.pages.set(index, old.with(word, value));
    return 0;
  }
}

/** What a call returns when memory is out. */
function failureOf(step: Step): number {
  if (step.op === 'read' || step.op === 'write') return -EFAULT;
  return step.op === 'mlock' ? -EAGAIN : -ENOMEM;
}

/** Steps that may stop half way when memory runs out, as in Linux: what is done is then only not undone. */
function mayBePartial(step: Step): boolean {
  if (step.op === 'mlock') return true;
  if (step.op !== 'madvise') return false;
  return step.advice === MADV_POPULATE_READ || step.advice === MADV_POPULATE_WRITE;
}

/**
 * Locked memory is faulted in on the way without its errors being reported, and of several
 * mappings the first have moved when a later one cannot: nothing to inject there.
 */
function injectable(step: Step, proc: model.Proc, vmaEnd: number): boolean {
  if (step.failAfter === 0 || step.op === 'exit') return false;
  if (step.op === 'mremap' && step.page + step.oldLen > vmaEnd) return false;
  if (step.op !== 'mprotect' && step.op !== 'mremap') return true;
  for (const state of proc.pages.values()) if (state.locked !== model.UNLOCKED) return false;
  return true;
}

/**
 * Steps whose result depends on what is one mapping: locked memory is faulted in up to the first
 * guard of each, and of several to move those before a sealed one have moved.
 */
function dependsOnVmas(step: Step, proc: model.Proc, vmaEnd: number): boolean {
  if (step.op === 'mremap') {
    const { page, oldLen, newPage } = step;
    if (page + oldLen <= vmaEnd) return false;
    return model.isSealed(proc, page, oldLen) || model.isSealed(proc, newPage, oldLen);
  }
  if (step.op !== 'mprotect') return false;
  for (let at = step.page; at < step.page + step.len; at++) {
    const state = proc.pages.get(at);
    if (state?.guard === true && state.locked === model.LOCKED && state.handle !== null)
      return true;
  }
  return false;
}

class Run {
  readonly world = new World();
  readonly machines: readonly TestMachine[];
  readonly tally: Tally;

  constructor(machines: readonly TestMachine[], tally: Tally) {
    this.machines = machines;
    this.tally = tally;
    for (const machine of machines) machine.begin();
  }

  private checkAll(): void {
    for (const machine of this.machines) this.checkMachine(machine);
  }

  private checkMachine(machine: TestMachine): void {
    assert.equal(machine.mms.length, this.world.procs.length, 'processes');
    for (let i = 0; i < this.world.procs.length; i++) machine.check(i, this.world.procs[i]!);
  }

  /** Runs the step with a failing allocation. If it failed for that, nothing may have changed and it runs again. */
  private runInjected(machine: TestMachine, step: Step, proc: number, want: number): number {
    const { result, fired } = machine.runFailing(step, proc);
    if (!fired) return result;
    machine.checkTables();
    // A place chosen by the kernel shows as -1 in the look-ahead, which knows no result.
    const failed = result !== want && (want !== -1 || result === failureOf(step));
    if (!failed && result !== failureOf(step)) {
      const populates = step.op === 'mmap' && (step.populate || step.locked);
      if (populates && result > 0) machine.populate(proc, result, step.len);
      return result;
    }
    if (failed) {
      count(this.tally, step.op, 'out of memory');
      if (step.op !== 'brk') assert.equal(result, failureOf(step), 'result of a failed allocation');
      if (!mayBePartial(step)) this.checkMachine(machine);
    }
    return machine.run(step, proc);
  }

  step(step: Step, number: number): void {
    const { world } = this;
    const proc = step.proc % world.procs.length;
    if (step.op === 'fork' && world.procs.length >= MAX_PROCS) return;
    if (step.op === 'exit' && world.procs.length === 1) return;
    const vmaEnd = step.op === 'mremap' ? this.machines[0]!.vmaEnd(proc, step.page) : 0;
    if (dependsOnVmas(step, world.procs[proc]!, vmaEnd)) return;
    const inject = injectable(step, world.procs[proc]!, vmaEnd);
    const want = inject ? world.ahead(proc).apply(step, 0, vmaEnd, -1) : 0;
    for (const machine of this.machines) machine.activate(proc);
    const results = this.machines.map((machine) =>
      inject ? this.runInjected(machine, step, proc, want) : machine.run(step, proc),
    );
    const [got, other] = results;
    assert.equal(got, world.apply(step, proc, vmaEnd, got!), 'result');
    assert.equal(other, got, 'result without COW page tables');
    count(this.tally, step.op, got < 0 ? errnoName(-got) : 'ok');
    for (const machine of this.machines) machine.checkTables();
    for (let i = 0; i < world.procs.length; i++) {
      assert.equal(
        this.machines[1]!.maps(i),
        this.machines[0]!.maps(i),
        'VMAs without COW page tables',
      );
    }
    if (number % FULL_CHECK_EVERY === 0) this.checkAll();
  }

  end(): void {
    this.checkAll();
    for (const machine of this.machines) machine.end();
  }
}

interface Failure {
  readonly step: number;
  readonly error: Error;
}

function newMachines(swap: boolean): TestMachine[] {
  return [new TestMachine(true, swap), new TestMachine(false, swap)];
}

function runProgram(
  machines: readonly TestMachine[],
  program: readonly Step[],
  tally: Tally,
): Failure | null {
  let step = 0;
  try {
    const run = new Run(machines, tally);
    for (; step < program.length; step++) run.step(program[step]!, step);
    run.end();
    return null;
  } catch (error) {
    return { step, error: error as Error };
  }
}

/** Leaves out steps as long as the program still fails. */
function shrink(
  program: readonly Step[],
  failure: Failure,
  swap: boolean,
): { program: Step[]; failure: Failure } {
  let best = { program: program.slice(0, failure.step + 1), failure };
  for (let chunk = best.program.length >> 1; chunk >= 1; chunk >>= 1) {
    for (let at = 0; at < best.program.length; ) {
      const shorter = best.program.toSpliced(at, chunk);
      const again = runProgram(newMachines(swap), shorter, new Map());
      if (again === null) at += chunk;
      else best = { program: shorter.slice(0, again.step + 1), failure: again };
    }
  }
  return best;
}

function describeTally(tally: Tally): string[] {
  const rows = [...tally].sort(([a], [b]) => a.localeCompare(b));
  const cell = ([result, times]: readonly [string, number]): string => `${result} ${times}`;
  return rows.map(
    ([op, row]) =>
      `${op}: ${[...row]
        .sort((a, b) => b[1] - a[1])
        .map(cell)
        .join(', ')}`,
  );
}

/** Runs programs from FIRST_SEED on. @returns the machine with COW page tables. */
function runPrograms(t: TestContext, swap: boolean): TestMachine {
  const tally: Tally = new Map();
  const machines = newMachines(swap);
  let steps = 0;
  for (let seed = FIRST_SEED; seed < FIRST_SEED + PROGRAMS; seed++) {
    const program = makeProgram(new Random(seed), swap);
    const failure = runProgram(machines, program, tally);
    steps += program.length;
    if (failure === null) continue;
    const small = shrink(program, failure, swap);
    const lines = small.program.map((step) => JSON.stringify(step)).join('\n');
    assert.fail(`seed ${seed}: ${small.failure.error.stack}\n${lines}`);
  }
  t.diagnostic(`${PROGRAMS} programs, ${steps} steps`);
  for (const line of describeTally(tally)) t.diagnostic(line);
  for (const [op, row] of tally) assert.ok((row.get('ok') ?? 0) > 0, `${op} never succeeded`);
  return machines[0]!;
}

describe('memory manager', () => {
  it(`runs ${PROGRAMS} random programs as the model does, COW page tables on and off`, (t) => {
    const { vmstat } = runPrograms(t, false).pgdat;
    const { cowShared, cowBreakCopy, cowBreakReuse, cowDrop, cowPteFallback } = vmstat;
    t.diagnostic(
      `tables (leaf, PMD, PUD) shared ${cowShared}, broken by copy ${cowBreakCopy}, taken over ` +
        `${cowBreakReuse}, dropped ${cowDrop}, not shareable ${cowPteFallback}`,
    );
    for (const counts of [cowShared, cowBreakCopy, cowBreakReuse]) {
      assert.ok(
        counts.every((n) => n > 0),
        'something never happened at some level',
      );
    }
  });

  it(`runs ${PROGRAMS} random programs under swap pressure as the model does`, (t) => {
    const { vmstat } = runPrograms(t, true).pgdat;
    const { pswpin, pswpout, pgstealAnon, pgactivate, unevictablePgsCulled } = vmstat;
    t.diagnostic(
      `pages reclaimed ${pgstealAnon}, swapped out ${pswpout}, read back ${pswpin}, ` +
        `activated ${pgactivate}, found locked ${unevictablePgsCulled}`,
    );
    const counts = [pswpin, pswpout, pgstealAnon, pgactivate, unevictablePgsCulled];
    assert.ok(
      counts.every((n) => n > 0),
      'something never happened',
    );
  });
});
