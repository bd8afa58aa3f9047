/** What a profile says in the end: stacks by name, functions by weight, calls of the kernel. */

import {
  CAUSE_INSN_PAGE_FAULT,
  CAUSE_LOAD_PAGE_FAULT,
  CAUSE_STORE_PAGE_FAULT,
} from '../../arch/riscv/cause.ts';
import { NR_SYSCALLS } from '../../uapi/unistd.ts';
import { SYSCALLS } from '../../syscalls/table.ts';
import { printable, type ProfileFunction } from './modules.ts';
import type { Profile, StackNode } from './profile.ts';

/** Samples of one stack. */
export interface ProfileStack {
  /** Name of the task, then functions, outermost first. */
  readonly frames: readonly string[];
  readonly samples: number;
}

export interface ProfiledFunction extends ProfileFunction {
  /** Samples in it, and samples in it or in what it called. */
  readonly self: number;
  readonly total: number;
}

export interface ProfileCount {
  readonly name: string;
  readonly count: number;
}

export interface ProfileReport {
  /** Instructions between two samples. */
  readonly interval: number;
  readonly samples: number;
  /** Samples whose outermost callers could not be found. */
  readonly incomplete: number;
  /** In the order of their text. */
  readonly stacks: readonly ProfileStack[];
  /** Most samples first. */
  readonly functions: readonly ProfiledFunction[];
  /** Calls that programs made, most first; those that slept are counted once. */
  readonly systemCalls: readonly ProfileCount[];
  /** Page faults of programs, by kind of access, most first. */
  readonly pageFaults: readonly ProfileCount[];
}

/** A walk over all stacks. */
class Walk {
  readonly functions: readonly ProfileFunction[];
  readonly self: Float64Array;
  readonly total: Float64Array;
  /** Times a function stands on the path: it counts once for recursion. */
  readonly onPath: Int32Array;
  readonly path: string[] = [];
  /** Samples by path: functions of the same name in different modules are one line. */
  readonly stacks = new Map<string, number>();

  constructor(functions: readonly ProfileFunction[]) {
    this.functions = functions;
    this.self = new Float64Array(functions.length);
    this.total = new Float64Array(functions.length);
    this.onPath = new Int32Array(functions.length);
  }
}

/** @returns samples in the node and below. */
function walkNode(walk: Walk, node: StackNode): number {
  if (node.self > 0) {
    const key = walk.path.join(';');
    walk.stacks.set(key, (walk.stacks.get(key) ?? 0) + node.self);
  }
  let samples = node.self;
  if (node.callees !== null)
    for (const callee of node.callees.values()) samples += walkFunction(walk, callee);
  return samples;
}

function walkFunction(walk: Walk, node: StackNode): number {
  const { fn } = node;
  walk.path.push(walk.functions[fn]!.name);
  walk.onPath[fn]!++;
  const samples = walkNode(walk, node);
  walk.path.pop();
  walk.self[fn]! += node.self;
  if (--walk.onPath[fn]! === 0) walk.total[fn]! += samples;
  return samples;
}

/** In the order of the bytes, whatever the host's language. */
function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function mostFirst(counts: readonly ProfileCount[]): ProfileCount[] {
  return counts
    .filter(({ count }) => count > 0)
    .sort((a, b) => b.count - a.count || compareText(a.name, b.name));
}

function functionsOf(walk: Walk): ProfiledFunction[] {
  return walk.functions
    .map((fn, i) => ({ ...fn, self: walk.self[i]!, total: walk.total[i]! }))
    .filter(({ total }) => total > 0)
    .sort((a, b) => b.self - a.self || b.total - a.total || compareText(a.name, b.name));
}

function systemCallsOf(profile: Profile): ProfileCount[] {
  const names: string[] = [];
  for (const { nr, name } of SYSCALLS) names[nr] = name;
  names[NR_SYSCALLS] = '[no such call]';
  const counts = Array.from(profile.syscalls, (count, nr) => ({
    name: names[nr] ?? `syscall_${nr}`,
    count,
  }));
  return mostFirst(counts);
}

export function profileReport(profile: Profile): ProfileReport {
  const walk = new Walk(profile.modules.functions);
  for (const [comm, root] of profile.roots) {
    walk.path.push(printable(comm));
    walkNode(walk, root);
    walk.path.pop();
  }
  const stacks = [...walk.stacks]
    .sort(([a], [b]) => compareText(a, b))
    .map(([path, samples]) => ({ frames: path.split(';'), samples }));
  const { faults, interval, samples, incomplete } = profile;
  return {
    interval,
    samples,
    incomplete,
    stacks,
    functions: functionsOf(walk),
    systemCalls: systemCallsOf(profile),
    pageFaults: mostFirst([
      { name: 'read', count: faults[CAUSE_LOAD_PAGE_FAULT]! },
      { name: 'write', count: faults[CAUSE_STORE_PAGE_FAULT]! },
      { name: 'exec', count: faults[CAUSE_INSN_PAGE_FAULT]! },
    ]),
  };
}
