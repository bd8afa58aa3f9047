/**
 * The machine's turn on the host's one thread: it runs tasks for a few milliseconds, then
 * lets the event loop deliver input, signals and timers. When every task sleeps it waits for
 * the nearest timer or for something that makes a task runnable; it never spins for long.
 */

import { retiredInstructions } from '../arch/riscv/hart_state.ts';
import { TIME_SLICE, accountRuntime, switchTo } from '../kernel/sched.ts';
import { checkCpuLimit } from '../kernel/sys.ts';
import { TASK_RUNNING } from '../kernel/task.ts';
import { NSEC_PER_MSEC } from '../kernel/time.ts';
import { kswapd } from '../mm/vmscan.ts';
import { CowshedError } from './errors.ts';
import { isHeld, type OutputGate, passGate } from './output_gate.ts';
import { runSlice, type TrapContext } from './trap.ts';

/** Longest time without a turn of the host's event loop, ns. */
const HOST_TURN = 10 * NSEC_PER_MSEC;
/** Speed assumed when a slice is cut for a timer: too low, so that it ends early rather than late. */
const INSTRUCTIONS_PER_NS = 0.2;
/** Timers further away than this do not shorten a slice, ns. */
const LONG_WAIT = 20 * NSEC_PER_MSEC;
/** Shortest slice, in instructions. */
const MIN_SLICE = 20_000;
/** setTimeout() counts whole milliseconds: nearer timers are waited for by turns of the event loop. */
const TIMER_RESOLUTION = NSEC_PER_MSEC;
/** Longest setTimeout(); later timers are looked at again then. */
const MAX_TIMEOUT_MS = 0x7fff_ffff;

/** A slice that ends about when the nearest timer fires, `wait` ns from now. */
function sliceUntil(wait: number): number {
  if (wait > LONG_WAIT) return TIME_SLICE;
  return Math.max(MIN_SLICE, Math.min(TIME_SLICE, Math.floor(wait * INSTRUCTIONS_PER_NS)));
}

/** Code of the error that ends a machine whose instructions are used up. */
export const ERR_INSTRUCTION_LIMIT = 'ERR_INSTRUCTION_LIMIT';

function limitReached(limit: number): CowshedError {
  const count = limit.toLocaleString('en-US');
  return new CowshedError(
    ERR_INSTRUCTION_LIMIT,
    `The machine has stopped: its ${count} instructions are used up`,
  );
}

export class MachineLoop {
  private readonly context: TrapContext;
  /** Called with what ended the machine: a KernelBug, or an error of the embedder's callbacks. */
  private readonly onFailure: (error: unknown) => void;
  /** Of a machine whose runs can be repeated. */
  readonly gate: OutputGate | null;
  /** Instructions at which the machine ends. */
  private readonly limit: number;
  private running = false;
  private stopped = false;
  private immediate: NodeJS.Immediate | null = null;
  private timeout: NodeJS.Timeout | null = null;

  constructor(
    context: TrapContext,
    limit: number,
    gate: OutputGate | null,
    onFailure: (error: unknown) => void,
  ) {
    this.context = context;
    this.gate = gate;
    if (gate !== null) gate.onOpen = () => this.kick();
    this.limit = limit;
    this.onFailure = onFailure;
    context.kernel.runQueue.onReady = () => this.kick();
  }

  /** Makes sure that a turn comes soon. */
  kick(): void {
    if (this.running || this.stopped || this.immediate !== null) return;
    this.immediate = setImmediate(() => this.turn());
  }

  /** Nothing of the machine runs any more. */
  stop(): void {
    this.stopped = true;
    if (this.immediate !== null) clearImmediate(this.immediate);
    if (this.timeout !== null) clearTimeout(this.timeout);
    this.immediate = null;
    this.timeout = null;
  }

  private turn(): void {
    this.immediate = null;
    if (this.timeout !== null) clearTimeout(this.timeout);
    this.timeout = null;
    this.running = true;
    try {
      this.runTasks();
    } catch (error) {
      this.stop();
      this.onFailure(error);
    } finally {
      this.running = false;
    }
    this.arrangeNextTurn();
  }

  /** Runs tasks until none can run or the host must have its turn. @hot */
  private runTasks(): void {
    const { kernel } = this.context;
    const { runQueue, timers } = kernel;
    const end = kernel.clock.now() + HOST_TURN;
    kernel.sliceStart = end - HOST_TURN;
    for (;;) {
      if (this.gate !== null && !passGate(this.gate)) return;
      const now = accountRuntime(kernel);
      if (timers.nearest <= now) timers.run(now);
      if (now >= end || this.stopped) return;
      if (kernel.pgdat.kswapdWanted) kswapd(kernel.pgdat);
      const task = runQueue.dequeue();
      if (task === null) return;
      const left = this.limit - retiredInstructions(kernel.ram);
      if (left <= 0) throw limitReached(this.limit);
      switchTo(kernel, task);
      runSlice(this.context, task, Math.min(left, sliceUntil(timers.nearest - now)));
      if (task.state === TASK_RUNNING) {
        task.nivcsw++;
        checkCpuLimit(kernel, task.signal);
        runQueue.enqueue(task);
      } else task.nvcsw++;
    }
  }

  private arrangeNextTurn(): void {
    if (this.stopped || (this.gate !== null && isHeld(this.gate))) return;
    const { kernel } = this.context;
    const { nearest } = kernel.timers;
    if (kernel.runQueue.empty) kernel.clock.skipTo(nearest);
    const wait = nearest - kernel.clock.now();
    if (!kernel.runQueue.empty || wait < TIMER_RESOLUTION) {
      this.kick();
      return;
    }
    if (nearest === Number.POSITIVE_INFINITY) return;
    const ms = Math.min(Math.floor(wait / NSEC_PER_MSEC), MAX_TIMEOUT_MS);
    this.timeout = setTimeout(() => this.turn(), ms);
  }
}
