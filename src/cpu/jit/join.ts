/** Joins regions that the program keeps changing between into one function. */

import { HART_SATP } from '../../arch/riscv/hart_state.ts';
import { PAGE_SIZE } from '../../arch/riscv/memlayout.ts';
import { CODE_MARKS, CODE_PAGE_SIZE, ENTRIES_LEFT, SLOT_SIZE } from '../slots.ts';
import { ENTRY_FUNCTION, ENTRY_PAGE } from './abi.ts';
import {
  codePageOf,
  codePages,
  type Compiled,
  compilePending,
  currentPc,
  entryAt,
  type Jit,
  pointersFrom,
  ram32,
} from './code_cache.ts';
import { MAX_JOINED_INSNS } from './options.ts';
import { findRegion } from './region.ts';

const JOIN_SAMPLES_MAX = 65536;

/**
 * A region was entered at entry `id`, at HART_PC. When many of these samples are of different
 * regions, the time goes into changing between them: they are joined to one.
 */
export function sampleEntry(jit: Jit, id: number): void {
  const { pool, entered } = jit;
  pool.ram.i32[ENTRIES_LEFT >>> 2] = jit.pace.entryPeriod + (entered.length & 15);
  const root = ram32(jit, HART_SATP);
  if (root !== jit.enteredRoot) {
    entered.length = 0;
    jit.enteredRoot = root;
  }
  entered.push({ id, pc: currentPc(jit) });
  if (entered.length < jit.joinAfter) return;
  join(jit);
  entered.length = 0;
}

/** Compiles one region of all that was entered often. */
function join(jit: Jit): void {
  // Linking takes the entries of regions that work away from them.
  if (jit.refused) return;
  const counts = new Map<number, number>();
  const functions = new Map<number, number>();
  for (const { id, pc } of jit.entered) {
    counts.set(pc, (counts.get(pc) ?? 0) + 1);
    const index = jit.pool.u16[entryAt(jit, id) + ENTRY_FUNCTION / 2]!;
    functions.set(index, (functions.get(index) ?? 0) + 1);
  }
  const most = Math.max(...functions.values());
  // A region that goes back to itself has what it can have.
  if (most > jit.entered.length * 0.7) {
    jit.joinAfter = Math.min(jit.joinAfter * 2, JOIN_SAMPLES_MAX);
    return;
  }
  const hot = [...counts].filter(([, n]) => n > 1).sort((a, b) => b[1] - a[1]);
  if (hot.length < 2) return;
  const base = hot[0]![0] - (hot[0]![0] % PAGE_SIZE);
  const starts = [...new Set([...hot.map(([pc]) => pc), ...joinedEntries(jit)])].map(
    (pc) => pc - base,
  );
  const wants = (slot: number): boolean => hasRun(jit, slot);
  const pointerAt = pointersFrom(jit, base);
  const limits = { maxInsns: MAX_JOINED_INSNS, wants, joined: true, pointerAt };
  const region = findRegion(jit.pool, codePages(jit, base), starts, limits);
  if (region === null) return;
  jit.pending.push({ slot: -1, region });
  compilePending(jit);
  clearMarks(jit);
  jit.stats.joined++;
  jit.joinAfter = Math.min(jit.joinAfter * 2, JOIN_SAMPLES_MAX);
}

/** Whether compiled code has run at this slot since marks were cleared. */
function hasRun(jit: Jit, slot: number): boolean {
  const code = codePageOf(jit, slot);
  return jit.pool.ram.u8[code + CODE_MARKS + (slot - code) / SLOT_SIZE] === 1;
}

/** Addresses of the entries, used lately, of the regions that were entered. */
function joinedEntries(jit: Jit): number[] {
  const addresses: number[] = [];
  const seen = new Set<Compiled>();
  for (const { id, pc } of jit.entered) {
    const owner = jit.owners[id];
    if (owner === undefined || !owner.joined || seen.has(owner)) continue;
    seen.add(owner);
    const page = (jit.pool.u16[entryAt(jit, id) + ENTRY_PAGE / 2]! << 16) >> 16;
    const base = pc - (pc % PAGE_SIZE) - page * PAGE_SIZE;
    for (const { slot, rel } of owner.entries.values())
      if (hasRun(jit, slot)) addresses.push(base + rel);
  }
  return addresses;
}

/** Forgets what ran, in all code pages. */
function clearMarks(jit: Jit): void {
  for (const code of jit.byPage.keys())
    jit.pool.ram.u8.fill(0, code + CODE_MARKS, code + CODE_PAGE_SIZE);
}
