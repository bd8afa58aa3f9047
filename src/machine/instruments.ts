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
  type CompareArea,
  type Instrument,
  INSTRUMENT_ENTRIES_MAX,
  INSTRUMENT_ENTRIES_MIN,
  type InstrumentArea,
  instrumentBytes,
  type InstrumentOptions,
  RING_HEADER,
  SITE_COUNT,
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
  /** Comparisons since the log was cleared; the newest of them, or of each branch, are kept. */
  readonly total: number;
  /** The oldest first; with comparesPerSite those of each site together. */
  readonly records: readonly CompareRecord[];
}

export interface BlockTrace {
  /** Blocks reached since the trace was cleared; the newest of them are kept. */
  readonly total: number;
  /** Their addresses, the oldest first. */
  readonly pcs: Float64Array;
}

/** Comparisons kept of each branch. */
const PER_SITE_MIN = 2;
const PER_SITE_MAX = 128;
/** Share of the memory that may be reserved. */
const MAX_SHARE = 4;

function checkSites({ comparesPerSite = 0, compareRecords = Infinity }: InstrumentOptions): void {
  const fits = comparesPerSite <= Math.min(PER_SITE_MAX, compareRecords / PER_SITE_MIN);
  const whole = comparesPerSite >= PER_SITE_MIN && Number.isInteger(Math.log2(comparesPerSite));
  if (comparesPerSite === 0 || (fits && whole)) return;
  throw new CowshedError(
    'EINVAL',
    `Cannot keep ${comparesPerSite} comparisons of each branch: want 0 or a power of two, ${PER_SITE_MIN} to ${PER_SITE_MAX}`,
  );
}

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
  checkSites(options);
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

/** As ringRecords(), site by site. */
function siteRecords(ram: Ram, area: CompareArea): [number[], total: number] {
  const perSite = 2 ** (area.order - area.siteOrder);
  const offsets: number[] = [];
  for (let site = 0; site < 2 ** area.siteOrder; site++) {
    const count = ram.view.getUint32(area.base + RING_HEADER + site * SITE_COUNT, true);
    for (let n = Math.max(0, count - perSite); n < count; n++)
      offsets.push(area.first + (site * perSite + (n % perSite)) * COMPARE_RECORD);
  }
  return [offsets, getU64(ram.view, area.base)];
}

export function compareLog(ram: Ram, instrument: Instrument | null): CompareLog | null {
  const area = instrument?.compares ?? null;
  if (area === null) return null;
  const { view } = ram;
  const [offsets, total] =
    area.siteOrder < 0 ? ringRecords(ram, area, COMPARE_RECORD) : siteRecords(ram, area);
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
  const { compares, blocks } = instrument ?? { compares: null, blocks: null };
  if (compares !== null) ram.u8.fill(0, compares.base, compares.first);
  if (blocks !== null) ram.u8.fill(0, blocks.base, blocks.base + RING_HEADER);
}
