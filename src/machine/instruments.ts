/** What the processor's instrumentation points wrote, as the embedder sees it. */

import { HART_PREV_BLOCK } from '../arch/riscv/hart_state.ts';
import type { Ram } from '../arch/riscv/ram.ts';
import { INSN_TABLE } from '../cpu/insn_table.ts';
import {
  BLOCK_RECORD,
  COMPARE_RECORD,
  COMPARE_ROW,
  COMPARE_RS1,
  COMPARE_RS2,
  type Instrument,
  INSTRUMENT_ENTRIES_MAX,
  INSTRUMENT_ENTRIES_MIN,
  type InstrumentArea,
  instrumentBytes,
  type InstrumentOptions,
  RING_HEADER,
} from '../cpu/instrument.ts';
import { getU64 } from '../lib/bits.ts';
import { CowshedError } from './errors.ts';

/** Operands of one conditional branch. */
export interface CompareRecord {
  /** Address of the branch. */
  readonly pc: number;
  /** Its mnemonic: 'beq', 'bne', 'blt', 'bge', 'bltu', 'bgeu'. */
  readonly kind: string;
  /** Both operands, as unsigned 64-bit words; 0 for x0. */
  readonly rs1: bigint;
  readonly rs2: bigint;
}

export interface CompareLog {
  /** Comparisons since the log was cleared; the newest of them are kept. */
  readonly total: number;
  /** The oldest first. */
  readonly records: readonly CompareRecord[];
}

export interface BlockTrace {
  /** Blocks reached since the trace was cleared; the newest of them are kept. */
  readonly total: number;
  /** Their addresses, the oldest first. */
  readonly pcs: Float64Array;
}

/** Share of the memory that may be reserved. */
const MAX_SHARE = 4;

/** Bytes of memory to reserve. @throws CowshedError for a size that cannot be. */
export function reservedBytes(options: InstrumentOptions, memory: number): number {
  for (const name of ['mapSize', 'compareRecords', 'blockRecords'] as const) {
    const size = options[name] ?? INSTRUMENT_ENTRIES_MIN;
    const fits = size >= INSTRUMENT_ENTRIES_MIN && size <= INSTRUMENT_ENTRIES_MAX;
    if (fits && Number.isInteger(Math.log2(size))) continue;
    throw new CowshedError(
      'EINVAL',
      `Cannot use ${name} ${size}: want a power of two, ${INSTRUMENT_ENTRIES_MIN} to ${INSTRUMENT_ENTRIES_MAX}`,
    );
  }
  const bytes = instrumentBytes(options);
  if (bytes <= memory / MAX_SHARE) return bytes;
  throw new CowshedError(
    'ERR_MEMORY_SIZE',
    `Cannot reserve ${bytes} bytes to watch the processor: the machine's memory is ${memory}`,
  );
}

/** The edge map itself, which changes as programs run; null if it was not asked for. */
export function edgeMap(ram: Ram, instrument: Instrument | null): Uint8Array | null {
  const area = instrument?.edges ?? null;
  return area === null ? null : ram.u8.subarray(area.base, area.base + 2 ** area.order);
}

/** Offsets of the records of a ring, the oldest first, and how many there ever were. */
function ringRecords(ram: Ram, area: InstrumentArea, size: number): [number[], total: number] {
  const total = getU64(ram.view, area.base);
  const entries = 2 ** area.order;
  const kept = Math.min(total, entries);
  const first = area.base + RING_HEADER;
  const at = Array.from({ length: kept }, (_, i) => first + ((total - kept + i) % entries) * size);
  return [at, total];
}

export function compareLog(ram: Ram, instrument: Instrument | null): CompareLog | null {
  const area = instrument?.compares ?? null;
  if (area === null) return null;
  const { view } = ram;
  const [offsets, total] = ringRecords(ram, area, COMPARE_RECORD);
  const records = offsets.map((at) => ({
    pc: getU64(view, at),
    kind: INSN_TABLE[view.getUint32(at + COMPARE_ROW, true)]!.name,
    rs1: view.getBigUint64(at + COMPARE_RS1, true),
    rs2: view.getBigUint64(at + COMPARE_RS2, true),
  }));
  return { total, records };
}

export function blockTrace(ram: Ram, instrument: Instrument | null): BlockTrace | null {
  const area = instrument?.blocks ?? null;
  if (area === null) return null;
  const [offsets, total] = ringRecords(ram, area, BLOCK_RECORD);
  return { total, pcs: Float64Array.from(offsets, (at) => getU64(ram.view, at)) };
}

/** Forgets all that was written, and the block that the running thread was in. */
export function clearInstrument(ram: Ram, instrument: Instrument | null): void {
  edgeMap(ram, instrument)?.fill(0);
  ram.u32[HART_PREV_BLOCK >>> 2] = 0;
  for (const area of [instrument?.compares ?? null, instrument?.blocks ?? null])
    if (area !== null) ram.u8.fill(0, area.base, area.base + RING_HEADER);
}
