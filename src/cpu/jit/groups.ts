/**
 * Accesses of one block through the same base register share one look into the TLB: most code
 * touches a stack frame or a struct in several places.
 *
 * The look covers all bytes from the lowest to the highest; if they do not lie on one page, or the
 * page is not to be had, the region is left at the first access and the interpreter takes them
 * one by one.
 */

import { INSN_TABLE } from '../insn_table.ts';
import type { RegionInsn } from './region.ts';

/** Bytes that a group may span: the larger, the more often it crosses into another page. */
const MAX_SPAN = 512;

export interface Group {
  /** Whether there is a store among them: what can be written can be read. */
  readonly write: boolean;
  /** Lowest offset from the base register, and bytes up to the end of the highest. */
  readonly min: number;
  readonly span: number;
  /** Number of its local within the block. */
  readonly local: number;
  readonly first: RegionInsn;
}

interface OpenGroup {
  readonly base: number;
  write: boolean;
  readonly insns: RegionInsn[];
  min: number;
  end: number;
}

const SIZES: Readonly<Record<string, number>> = {
  lb: 1,
  lbu: 1,
  sb: 1,
  lh: 2,
  lhu: 2,
  sh: 2,
  lw: 4,
  lwu: 4,
  sw: 4,
  flw: 4,
  fsw: 4,
  ld: 8,
  sd: 8,
  fld: 8,
  fsd: 8,
};

/** Bytes that a load or store moves; 0 for anything else. */
function accessSize(insn: RegionInsn): number {
  const { name, format } = INSN_TABLE[insn.row]!;
  return format === 'LOAD' || format === 'S' ? SIZES[name]! : 0;
}

/** Adds an access to its open group, or opens one. */
function join(open: OpenGroup[], all: OpenGroup[], insn: RegionInsn, size: number): void {
  const write = INSN_TABLE[insn.row]!.format === 'S';
  const end = insn.imm + size;
  const known = open.find((group) => group.base === insn.rs1);
  if (known !== undefined) {
    const min = Math.min(known.min, insn.imm);
    const max = Math.max(known.end, end);
    if (max - min <= MAX_SPAN) {
      known.min = min;
      known.end = max;
      known.write ||= write;
      known.insns.push(insn);
      return;
    }
    open.splice(open.indexOf(known), 1);
  }
  const group = { base: insn.rs1, write, insns: [insn], min: insn.imm, end };
  open.push(group);
  all.push(group);
}

/** The groups of instructions that run one after another, by instruction; only groups of several. */
export function findGroups(insns: readonly RegionInsn[]): Map<RegionInsn, Group> {
  const all: OpenGroup[] = [];
  const open: OpenGroup[] = [];
  for (const insn of insns) {
    const size = accessSize(insn);
    if (size > 0) join(open, all, insn, size);
    if (INSN_TABLE[insn.row]!.regs[0] !== 'x') continue;
    for (let i = open.length - 1; i >= 0; i--) if (open[i]!.base === insn.rd) open.splice(i, 1);
  }
  const groups = new Map<RegionInsn, Group>();
  let local = 0;
  for (const { write, insns: members, min, end } of all) {
    if (members.length < 2) continue;
    const group = { write, min, span: end - min, local, first: members[0]! };
    local++;
    for (const insn of members) groups.set(insn, group);
  }
  return groups;
}
