/**
 * A sampling profiler of guest programs: after each so many instructions the stack of the
 * running task is counted. Instructions, not time, so that two runs of the same program give
 * the same profile.
 *
 * The processor stops only at backward branches, indirect jumps and changes of page. Stopping
 * behind a sample's instruction would blame the callers of short functions, so the last stop
 * before it counts: from there on, the same function runs, or one that it called forwards
 * within a page.
 */

import {
  CAUSE_BUDGET,
  CAUSE_ECALL_U,
  CAUSE_INSN_PAGE_FAULT,
  CAUSE_LOAD_PAGE_FAULT,
  CAUSE_STORE_PAGE_FAULT,
} from '../../arch/riscv/cause.ts';
import { HART_A7, HART_INSTRET } from '../../arch/riscv/hart_state.ts';
import type { Ram } from '../../arch/riscv/ram.ts';
import type { Cpu } from '../../cpu/cpu.ts';
import type { Task } from '../../kernel/task.ts';
import { NR_SYSCALLS } from '../../uapi/unistd.ts';
import { Modules, TRUNCATED } from './modules.ts';
import { captureHart, FRAMES_MAX, unwind, Unwinder } from './unwind.ts';

/** Instructions between samples. A prime: loops that take a round number of instructions would be seen at one place only. */
export const PROFILE_INTERVAL = 100_003;
/** The counter is compared by its low half. */
export const PROFILE_INTERVAL_MAX = 2 ** 30;
/** Instructions before a sample from which on every stop is looked at. Few functions run longer without one. */
const STEPPED = 64;
/** Different stacks that are told apart, counted by their frames. */
const NODES_MAX = 1 << 21;

/** A frame of the stacks that have the same callers. */
export interface StackNode {
  /** Index in modules.functions. */
  readonly fn: number;
  /** Samples that ended here. */
  self: number;
  /** By function; null while there are none. */
  callees: Map<number, StackNode> | null;
}

export class Profile {
  readonly ram: Ram;
  /** Instructions. */
  readonly interval: number;
  readonly modules = new Modules();
  readonly unwinder = new Unwinder(this.modules);
  /** What called the outermost functions, by name of the task. */
  readonly roots = new Map<string, StackNode>();
  nodes = 0;
  samples = 0;
  /** Samples whose outermost functions are not known. */
  incomplete = 0;
  /** Low half of the count of retired instructions at which the next sample is due. */
  due: number;
  /** Calls by number, those that do not exist last; and page faults by CAUSE_*. */
  readonly syscalls = new Float64Array(NR_SYSCALLS + 1);
  readonly faults = new Float64Array(CAUSE_STORE_PAGE_FAULT + 1);

  constructor(ram: Ram, interval: number) {
    this.ram = ram;
    this.interval = interval;
    this.due = (ram.i32[HART_INSTRET >> 2]! + interval) | 0;
  }
}

function newNode(fn: number): StackNode {
  return { fn, self: 0, callees: null };
}

function calleeNode(profile: Profile, node: StackNode, fn: number): StackNode {
  const known = node.callees?.get(fn);
  if (known !== undefined) return known;
  // Too many: the sample counts for the caller.
  if (profile.nodes >= NODES_MAX) return node;
  profile.nodes++;
  const made = newNode(fn);
  node.callees ??= new Map();
  node.callees.set(fn, made);
  return made;
}

function rootNode(profile: Profile, comm: string): StackNode {
  let root = profile.roots.get(comm);
  if (root === undefined) {
    root = newNode(0);
    profile.roots.set(comm, root);
  }
  return root;
}

/** Counts the stack of the captured registers. */
function takeSample(profile: Profile, task: Task, weight: number): void {
  const u = profile.unwinder;
  unwind(u, task.mm!);
  let node = rootNode(profile, task.comm);
  if (u.depth === FRAMES_MAX) node = calleeNode(profile, node, TRUNCATED);
  for (let i = u.depth - 1; i >= 0; i--) node = calleeNode(profile, node, u.frames[i]!);
  node.self += weight;
  profile.samples += weight;
  if (!u.complete) profile.incomplete += weight;
}

/** Takes the samples that are due. @param captured whether registers of before were. */
function sampleIfDue(profile: Profile, task: Task, captured: boolean): void {
  const late = (profile.ram.i32[HART_INSTRET >> 2]! - profile.due) | 0;
  if (late < 0) return;
  const weight = Math.floor(late / profile.interval) + 1;
  profile.due = (profile.due + weight * profile.interval) | 0;
  if (!captured) captureHart(profile.unwinder, profile.ram);
  takeSample(profile, task, weight);
}

function countTrap(profile: Profile, cause: number): void {
  const { syscalls, faults, ram } = profile;
  if (cause === CAUSE_ECALL_U) syscalls[Math.min(ram.u32[HART_A7 >> 2]!, NR_SYSCALLS)]!++;
  else if (
    cause === CAUSE_LOAD_PAGE_FAULT ||
    cause === CAUSE_STORE_PAGE_FAULT ||
    cause === CAUSE_INSN_PAGE_FAULT
  )
    faults[cause]!++;
}

/** As cpu.run(budget), with stops for samples. The task is on the hart. */
export function runProfiled(profile: Profile, cpu: Cpu, task: Task, budget: number): number {
  const { i32 } = profile.ram;
  const instret = HART_INSTRET >> 2;
  for (let left = budget; ; ) {
    const start = i32[instret]!;
    const ahead = ((profile.due - start) | 0) - STEPPED;
    if (ahead <= 0) captureHart(profile.unwinder, profile.ram);
    const cause = cpu.run(Math.min(left, Math.max(ahead, 1)));
    const retired = (i32[instret]! - start) | 0;
    sampleIfDue(profile, task, ahead <= 0);
    left -= retired;
    // Nothing has run when the processor was asked to stop.
    if (cause === CAUSE_BUDGET && left > 0 && retired > 0) continue;
    countTrap(profile, cause);
    return cause;
  }
}
