/**
 * Which registers a region loads and stores, and where.
 *
 * A register's local is loaded at an entry if its value there may be used. A register that was
 * written is *dirty* until it is stored: at the end of its block, so that leaving the region
 * costs little; but in an innermost loop not before control leaves the loop, so that the loop
 * itself stores none.
 *
 * Sets of registers are bit masks, one for the integer and one for the floating-point file.
 */

import { INSN_TABLE } from '../insn_table.ts';
import type { Block, RegionInsn } from './region.ts';
import { dominates, type Plan } from './structure.ts';

/** By block, one word for each register file. */
export interface RegisterSets {
  readonly x: Int32Array;
  readonly f: Int32Array;
}

export interface RegisterPlan {
  /** Registers whose value at the start of a block may be used. */
  readonly live: RegisterSets;
  /** Registers that may be dirty at the start and at the end of a block. */
  readonly dirtyIn: RegisterSets;
  readonly dirtyOut: RegisterSets;
  /** Header of the innermost loop that a block is in, or -1. */
  readonly loopOf: Int32Array;
}

type File = 'x' | 'f';
const FILES: readonly File[] = ['x', 'f'];

function newSets(size: number): RegisterSets {
  return { x: new Int32Array(size), f: new Int32Array(size) };
}

function bit(file: File, regs: string, at: number, n: number): number {
  return regs[at] === file && !(file === 'x' && n === 0) ? 1 << n : 0;
}

/** The registers of a file that an instruction reads. */
export function readsOf(insn: RegionInsn, file: File): number {
  const { regs } = INSN_TABLE[insn.row]!;
  return bit(file, regs, 1, insn.rs1) | bit(file, regs, 2, insn.rs2) | bit(file, regs, 3, insn.rs3);
}

/** The register of a file that an instruction writes. */
export function writeOf(insn: RegionInsn, file: File): number {
  return bit(file, INSN_TABLE[insn.row]!.regs, 0, insn.rd);
}

/** Blocks of the natural loop of `header`, from the edges that lead back to it. */
function loopBody(plan: Plan, preds: readonly (readonly number[])[], header: number): Set<number> {
  const body = new Set([header]);
  const work = preds[header]!.filter((pred) => dominates(plan, header, pred));
  for (;;) {
    const block = work.pop();
    if (block === undefined) return body;
    if (body.has(block)) continue;
    body.add(block);
    work.push(...preds[block]!);
  }
}

function predecessors(plan: Plan): number[][] {
  const preds: number[][] = plan.flow.succs.map(() => []);
  plan.flow.succs.forEach((succs, block) => {
    if (plan.order[block]! < 0) return;
    for (const succ of succs) preds[succ]!.push(block);
  });
  return preds;
}

function innermostLoops(plan: Plan, preds: readonly (readonly number[])[]): Int32Array {
  const loopOf = new Int32Array(plan.flow.succs.length).fill(-1);
  for (let header = 0; header < loopOf.length; header++) {
    if (plan.loop[header] === 0) continue;
    const body = loopBody(plan, preds, header);
    if ([...body].some((block) => block !== header && plan.loop[block] === 1)) continue;
    for (const block of body) loopOf[block] = header;
  }
  return loopOf;
}

/** Goes over the blocks in this order until `step` changes nothing. */
function solve(order: readonly number[], step: (block: number) => boolean): void {
  for (let changed = true; changed; ) {
    changed = false;
    for (const block of order) if (step(block)) changed = true;
  }
}

/** Uses before a definition, and definitions, of each block. */
function blockSets(blocks: readonly Block[], file: File): { uses: Int32Array; defs: Int32Array } {
  const uses = new Int32Array(blocks.length);
  const defs = new Int32Array(blocks.length);
  blocks.forEach(({ insns }, i) => {
    for (const insn of insns) {
      uses[i]! |= readsOf(insn, file) & ~defs[i]!;
      defs[i]! |= writeOf(insn, file);
    }
  });
  return { uses, defs };
}

export function planRegisters(blocks: readonly Block[], plan: Plan): RegisterPlan {
  const count = blocks.length;
  const { succs } = plan.flow;
  // What reaches a block comes from those before it, what is live from those after it.
  const forward = succs.map((_, block) => block).filter((block) => plan.order[block]! >= 0);
  forward.sort((a, b) => plan.order[a]! - plan.order[b]!);
  const backward = forward.toReversed();
  const preds = predecessors(plan);
  const loopOf = innermostLoops(plan, preds);
  const [live, dirtyIn, dirtyOut] = [newSets(count), newSets(count), newSets(count)];
  for (const file of FILES) {
    const { uses, defs } = blockSets(blocks, file);
    const [din, dout, lin] = [dirtyIn[file], dirtyOut[file], live[file]];
    solve(forward, (block) => {
      let dirty = 0;
      if (loopOf[block]! >= 0)
        for (const pred of preds[block]!) if (loopOf[pred] === loopOf[block]) dirty |= dout[pred]!;
      const before = dout[block]!;
      din[block] = dirty;
      dout[block] = dirty | defs[block]!;
      return dout[block] !== before;
    });
    // What may be stored in the block must be valid, dirty or not.
    for (let block = 0; block < count; block++) uses[block]! |= din[block]!;
    solve(backward, (block) => {
      let out = 0;
      for (const succ of succs[block]!) out |= lin[succ]!;
      const before = lin[block]!;
      lin[block] = uses[block]! | (out & ~defs[block]!);
      return lin[block] !== before;
    });
  }
  return { live, dirtyIn, dirtyOut, loopOf };
}
