/**
 * Any control flow as wasm's nested blocks and loops.
 *
 * Reducible flow follows its dominator tree (Ramsey, "Beyond Relooper", ICFP 2022): a block that
 * several edges lead to becomes the end of a wasm block, a loop's header a wasm loop, everything
 * else is nested where its only edge is. A root before all blocks has an edge to every *dispatch
 * target*: places that are entered from outside, and headers of what would be an irreducible loop.
 * Backward edges to those, from blocks that they do not dominate, set a label and go through the
 * root's `br_table`. The root's edges make them children of the root, and the rest reducible.
 */

import type { FunctionBuilder, Label } from '../wasm_encoder.ts';

/** Blocks are 0 .. succs.length - 1. */
export interface Flow {
  /** Where each block can go on; the same block twice if two edges lead there. */
  readonly succs: readonly (readonly number[])[];
  /** Blocks entered from outside: label i means entries[i]. */
  readonly entries: readonly number[];
  /** Whether a block may go back to the root, to enter again at a label found at run time. */
  readonly reenters: boolean;
}

export interface Plan {
  readonly flow: Flow;
  /** The root is block number succs.length. */
  readonly root: number;
  /** Dispatch targets by label: the entries first. */
  readonly targets: readonly number[];
  /** Place in reverse postorder, or -1 for a block that cannot be reached. */
  readonly order: Int32Array;
  /** First and last place in a walk of the dominator tree. */
  readonly first: Int32Array;
  readonly last: Int32Array;
  /** Whether several edges lead forward to a block. */
  readonly merge: Uint8Array;
  /** Whether an edge leads back to a block, from one that it dominates. */
  readonly loop: Uint8Array;
  /** Children in the dominator tree that are merges, in order. */
  readonly mergeChildren: readonly (readonly number[])[];
}

/** Blocks reachable from the root, in reverse postorder. */
function reversePostorder(succs: readonly (readonly number[])[], root: number): number[] {
  const seen = new Uint8Array(succs.length);
  const post: number[] = [];
  const stack: [block: number, next: number][] = [[root, 0]];
  seen[root] = 1;
  while (stack.length > 0) {
    const top = stack.at(-1)!;
    const succ = succs[top[0]]![top[1]++];
    if (succ === undefined) {
      post.push(top[0]);
      stack.pop();
    } else if (seen[succ] === 0) {
      seen[succ] = 1;
      stack.push([succ, 0]);
    }
  }
  return post.reverse();
}

/** Immediate dominators: Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm". */
function dominators(
  succs: readonly (readonly number[])[],
  rpo: readonly number[],
  order: Int32Array,
): Int32Array {
  const preds: number[][] = succs.map(() => []);
  for (const block of rpo) for (const succ of succs[block]!) preds[succ]!.push(block);
  const idom = new Int32Array(succs.length).fill(-1);
  const root = rpo[0]!;
  idom[root] = root;
  const meet = (a: number, b: number): number => {
    let [x, y] = [a, b];
    while (x !== y) {
      while (order[x]! > order[y]!) x = idom[x]!;
      while (order[y]! > order[x]!) y = idom[y]!;
    }
    return x;
  };
  for (let changed = true; changed; ) {
    changed = false;
    for (let i = 1; i < rpo.length; i++) {
      const block = rpo[i]!;
      let best = -1;
      for (const pred of preds[block]!) {
        if (idom[pred] === -1) continue;
        best = best === -1 ? pred : meet(pred, best);
      }
      if (idom[block] === best) continue;
      idom[block] = best;
      changed = true;
    }
  }
  return idom;
}

/** Numbers the dominator tree so that `a` dominates `b` when first[a] <= first[b] <= last[a]. */
function numberTree(
  children: readonly (readonly number[])[],
  root: number,
  first: Int32Array,
  last: Int32Array,
): void {
  let next = 0;
  const stack: [block: number, child: number][] = [[root, 0]];
  first[root] = next++;
  while (stack.length > 0) {
    const top = stack.at(-1)!;
    const child = children[top[0]]![top[1]++];
    if (child === undefined) {
      last[top[0]] = next - 1;
      stack.pop();
    } else {
      first[child] = next++;
      stack.push([child, 0]);
    }
  }
}

export function dominates(plan: Pick<Plan, 'first' | 'last'>, a: number, b: number): boolean {
  return plan.first[a]! <= plan.first[b]! && plan.first[b]! <= plan.last[a]!;
}

/** One attempt with the given dispatch targets; adds to them what makes the flow irreducible. */
function tryPlan(flow: Flow, targets: number[]): Plan | null {
  const root = flow.succs.length;
  const succs = [...flow.succs, targets];
  const rpo = reversePostorder(succs, root);
  const order = new Int32Array(root + 1).fill(-1);
  rpo.forEach((block, i) => {
    order[block] = i;
  });
  const idom = dominators(succs, rpo, order);
  const children: number[][] = succs.map(() => []);
  for (const block of rpo.slice(1)) children[idom[block]!]!.push(block);
  const first = new Int32Array(root + 1);
  const last = new Int32Array(root + 1);
  numberTree(children, root, first, last);
  const forward = new Int32Array(root + 1);
  const loop = new Uint8Array(root + 1);
  if (flow.reenters) loop[root] = 1;
  const found = targets.length;
  for (const block of rpo) {
    for (const succ of succs[block]!) {
      if (order[succ]! > order[block]!) forward[succ]!++;
      else if (dominates({ first, last }, succ, block)) loop[succ] = 1;
      else if (targets.includes(succ)) loop[root] = 1;
      else targets.push(succ);
    }
  }
  if (targets.length > found) return null;
  const merge = new Uint8Array(root + 1);
  for (const block of rpo) if (forward[block]! > 1) merge[block] = 1;
  // The root's br_table needs a label for each.
  if (targets.length > 1) for (const target of targets) merge[target] = 1;
  const mergeChildren = children.map((list) => list.filter((block) => merge[block] === 1));
  return { flow, root, targets, order, first, last, merge, loop, mergeChildren };
}

export function planFlow(flow: Flow): Plan {
  const targets = [...flow.entries];
  for (;;) {
    const plan = tryPlan(flow, targets);
    if (plan !== null) return plan;
  }
}

/** What a block's code ends with. */
export interface Goer {
  /** Goes on at a successor. */
  go(succ: number): void;
  /** Goes where it is decided at which label to enter again. */
  reenter(): void;
}

/** Emits a block's code. */
export type EmitBlock = (block: number, goer: Goer) => void;

/**
 * Emits the whole flow. Control never reaches the end of what is emitted.
 * @param label the i32 local that says which entry to start at; jumps through the root set it to
 * targets.length + the target's number.
 * @param emitReenter emits what decides, once for all blocks, at which label to enter again, sets
 * the label and calls `enter`; or goes somewhere else.
 * @param emitEntry emits what entering from outside takes, for the entry with this label.
 */
export function emitFlow(
  f: FunctionBuilder,
  plan: Plan,
  label: number,
  emitReenter: (enter: () => void) => void,
  emitEntry: (label: number) => void,
  emitBlock: EmitBlock,
): void {
  const { entries } = plan.flow;
  const { root, targets, order, merge, loop, mergeChildren } = plan;
  const blockLabels = new Map<number, Label>();
  const loopLabels = new Map<number, Label>();
  const go = (from: number, to: number): void => {
    if (order[to]! > order[from]!) {
      if (merge[to] === 1) f.br(blockLabels.get(to)!);
      else tree(to);
    } else if (dominates(plan, to, from)) f.br(loopLabels.get(to)!);
    else {
      f.i32Const(targets.length + targets.indexOf(to));
      f.set(label);
      f.br(loopLabels.get(root)!);
    }
  };
  let again = 0;
  const reenter = (): void => f.br(again);
  const dispatch = (): void => {
    if (targets.length === 1) {
      emitEntry(0);
      go(root, targets[0]!);
      return;
    }
    const inside = targets.map((target) => blockLabels.get(target)!);
    const stubs: Label[] = [];
    for (let i = entries.length - 1; i >= 0; i--) stubs[i] = f.block();
    // Targets that are no entries have no stub: nothing enters them from outside.
    const labels = [...stubs, ...inside.slice(entries.length), ...inside];
    f.get(label);
    f.brTable(loop[root] === 1 ? labels : stubs, stubs[0]!);
    for (let i = 0; i < entries.length; i++) {
      f.end();
      emitEntry(i);
      f.br(inside[i]!);
    }
  };
  const within = (block: number, merges: readonly number[]): void => {
    const outermost = merges.at(-1);
    if (outermost === undefined) {
      if (block === root) dispatch();
      else emitBlock(block, { go: (succ) => go(block, succ), reenter });
      return;
    }
    blockLabels.set(outermost, f.block());
    within(block, merges.slice(0, -1));
    f.end();
    tree(outermost);
  };
  const tree = (block: number): void => {
    const decides = block === root && plan.flow.reenters;
    if (loop[block] === 1) loopLabels.set(block, f.loop());
    if (decides) again = f.block();
    within(block, mergeChildren[block]!);
    if (decides) {
      f.end();
      emitReenter(() => f.br(loopLabels.get(root)!));
    }
    if (loop[block] === 1) f.end();
  };
  tree(root);
}
