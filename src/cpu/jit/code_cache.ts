/**
 * Compiled regions: when to compile, where the code is entered, when it goes.
 *
 * Code belongs to frames: a region is entered at predecoded slots, so whatever maps the frames or
 * is forked shares it, and it is dropped with the slots of any of its pages.
 */

import { HART_INSTRET, HART_PC } from '../../arch/riscv/hart_state.ts';
import { PAGE_SHIFT, PAGE_SIZE, REGION_ENTRY_SIZE } from '../../arch/riscv/memlayout.ts';
import type { Instrument } from '../instrument.ts';
import {
  type CodeObserver,
  type CodePool,
  decodeSlots,
  hasRoom,
  newCodePage,
} from '../predecode.ts';
import { CODE_PAGE_SIZE, END_SLOT, OP_REGION, OP_UNDECODED, SLOT_SIZE } from '../slots.ts';
import { IMPORT_MEMORY, IMPORT_MODULE, ModuleBuilder } from '../wasm_encoder.ts';
import {
  ENTRY_FUNCTION,
  ENTRY_LABEL,
  ENTRY_OP,
  ENTRY_PAGE,
  REGION_PARAMS,
  REGION_RESULTS,
} from './abi.ts';
import { emitRegion } from './emit.ts';
import { importsInto } from './imports.ts';
import { DEFAULT_THRESHOLD, type JitOptions, MAX_REGION_INSNS } from './options.ts';
import { findRegion, type Region, slotOf } from './region.ts';

/** How long to wait for more before compiling. */
interface Pace {
  /** A module is compiled when this many regions are hot. */
  readonly batchRegions: number;
  /** Entries of regions for one sample of them, and such samples for a look at joining regions. */
  readonly entryPeriod: number;
  readonly joinSamples: number;
}

const PATIENT: Pace = { batchRegions: 16, entryPeriod: 500, joinSamples: 1024 };
/** For tests, whose programs are short: with thresholds below EAGER_THRESHOLD. */
const EAGER: Pace = { batchRegions: 1, entryPeriod: 3, joinSamples: 12 };
const EAGER_THRESHOLD = 8;
/** Samples after which counts are halved. */
const AGE_SAMPLES = 1 << 16;
/** A module is compiled at the latest this many samples after the first region of it got hot. */
const BATCH_SAMPLES = 800;
/** Regions after the one that runs that threshold 0 compiles with it. */
const SWEEP_REGIONS = 24;
/** Guest instructions that may be compiled at a time, and how far eviction goes. */
const MAX_CODE_INSNS = 400_000;
const EVICT_TO = 0.75;
/** Compiled instructions that are free, and what a compiled one must be paid for with. */
const BUDGET_BASE = 8000;
const BUDGET_SHARE = 20_000;
/**
 * Compiled code of a frame that was dropped so often is left to the interpreter, until the frame
 * got hot more often than SETTLE times without a change.
 */
const MAX_DROPS = 8;
const SETTLE = 8;

/** Where a region is entered: offset of the slot, and its address in the region. */
interface Entry {
  readonly slot: number;
  readonly rel: number;
}

export interface Compiled {
  readonly joined: boolean;
  readonly functionIndex: number;
  readonly insns: number;
  /** By number. */
  readonly entries: Map<number, Entry>;
  /** Offsets of the code pages it was compiled from. */
  readonly pages: readonly number[];
}

/** Counters since boot. */
export interface JitStats {
  /** Regions compiled, in how many modules, and those of them that were dropped. */
  compiled: number;
  modules: number;
  dropped: number;
  /** Regions that were made by joining others. */
  joined: number;
  /** Guest instructions compiled, and bytes of wasm. */
  insns: number;
  bytes: number;
  /** Time spent compiling on this thread, ms. */
  compileMs: number;
}

type PageLook = (lo: number, hi: number) => number;

/** Exports of the interpreter's module. */
export type InterpreterExports = Readonly<Record<string, WebAssembly.ExportValue>>;

export class Jit implements CodeObserver {
  readonly pool: CodePool;
  readonly table: WebAssembly.Table;
  readonly instrument: Instrument | null;
  readonly threshold: number;
  readonly stats: JitStats = {
    compiled: 0,
    modules: 0,
    dropped: 0,
    joined: 0,
    insns: 0,
    bytes: 0,
    compileMs: 0,
  };
  /** Samples so far, and by slot. */
  sampled = 0;
  readonly samples: Uint8Array;
  readonly byPage = new Map<number, Set<Compiled>>();
  readonly freeEntries: number[] = [];
  readonly freeFunctions: number[] = [];
  nextEntry = 0;
  nextFunction = 0;
  /** All regions, the oldest first, and their instructions. */
  readonly regions = new Set<Compiled>();
  liveInsns = 0;
  /** Regions kept at most: a quarter of the entries that there can be. */
  readonly maxRegions: number;
  /** How often compiled code of a frame was dropped, less how often it then got hot again. */
  readonly drops: Uint8Array;
  /** Set when the host refused to compile: its memory for code is used up. */
  refused = false;
  /** Region by number of an entry. */
  readonly owners: Compiled[] = [];
  /** Samples of entries in the address space with this root table. */
  readonly entered: { readonly id: number; readonly pc: number }[] = [];
  enteredRoot = 0;
  /** Such samples until regions are joined. */
  joinAfter: number;
  readonly pace: Pace;
  /** Found, not yet compiled. */
  readonly pending: { readonly slot: number; readonly region: Region }[] = [];
  /** Samples since the first of them. */
  waited = 0;
  imports: WebAssembly.Imports = {};
  /** Offset of the frame of an executable page, or 0; both halves of its address as i32. */
  executable: PageLook = () => 0;
  /** The same of a readable page. */
  readable: PageLook = () => 0;

  constructor(
    pool: CodePool,
    table: WebAssembly.Table,
    options: JitOptions,
    instrument: Instrument | null,
  ) {
    this.pool = pool;
    this.instrument = instrument;
    this.table = table;
    this.threshold = options.threshold ?? DEFAULT_THRESHOLD;
    this.pace = this.threshold < EAGER_THRESHOLD ? EAGER : PATIENT;
    this.joinAfter = this.pace.joinSamples;
    this.maxRegions = pool.ram.layout.regionEntries / 4;
    this.drops = new Uint8Array(pool.ram.layout.nrFrames);
    this.samples = new Uint8Array(pool.ram.layout.codePoolBytes / SLOT_SIZE);
    pool.observer = this;
  }

  dropPage(code: number): void {
    const stale = (region: Region): boolean => [...region.pages.values()].includes(code);
    for (let i = this.pending.length - 1; i >= 0; i--)
      if (stale(this.pending[i]!.region)) this.pending.splice(i, 1);
    const regions = this.byPage.get(code);
    countDrop(this, frameOf(this, code), regions !== undefined && regions.size > 0);
    if (regions === undefined) return;
    for (const region of regions) unlink(this, region);
    this.byPage.delete(code);
  }

  dropAll(): void {
    for (const region of this.regions) unlink(this, region);
    this.byPage.clear();
    this.samples.fill(0);
    this.pending.length = 0;
  }
}

/** Connects the compiler to the interpreter's module. */
export function linkJit(jit: Jit, exports: InterpreterExports): void {
  jit.executable = exports['executable'] as PageLook;
  jit.readable = exports['readable'] as PageLook;
  jit.imports = {
    [IMPORT_MODULE]: {
      ...(exports as Record<string, WebAssembly.ImportValue>),
      [IMPORT_MEMORY]: jit.pool.ram.memory,
    },
  };
}

/** The program was at slot `ip` when a sample was taken; HART_PC is its address. */
export function sample(jit: Jit, ip: number): void {
  if (++jit.sampled % AGE_SAMPLES === 0) age(jit);
  const index = (ip - jit.pool.ram.layout.codePoolBase) / SLOT_SIZE;
  if (jit.pending.length > 0 && ++jit.waited >= BATCH_SAMPLES) {
    jit.waited = 0;
    compilePending(jit);
  }
  if (!(index >= 0 && index < jit.samples.length)) return;
  const count = jit.samples[index]! + 1;
  if (count < jit.threshold) {
    jit.samples[index] = count;
    return;
  }
  jit.samples[index] = 0;
  compileAt(jit, ip);
}

/** Halves all counts: what runs seldom but for ever is never hot. */
function age({ pool, samples }: Jit): void {
  const used = (pool.next - pool.ram.layout.codePoolBase) / SLOT_SIZE;
  for (let i = 0; i < used; i++) samples[i]! >>= 1;
}

/**
 * Decodes the slot at `ip`, which is even; with threshold 0 compiles there.
 * @param ip with bit 0 set for an instruction that a region left to the interpreter.
 */
export function decodeAndCompile(jit: Jit, ip: number): void {
  if (jit.threshold > 0) {
    decodeSlots(jit.pool, (ip & ~1) >>> 0);
    return;
  }
  decodeSlots(jit.pool, (ip & ~1) >>> 0, 1);
  if ((ip & 1) === 0 && ip >= jit.pool.ram.layout.codePoolBase) compileAt(jit, ip);
}

/** The code page of a frame; 0 if it has none and there is no reason, or no room, for one. */
function codeOfFrame(jit: Jit, pfn: number): number {
  const code = jit.pool.ram.codeIndex[pfn]! >>> 0;
  if (code !== 0 || jit.threshold > 0 || !hasRoom(jit.pool)) return code;
  return newCodePage(jit.pool, pfn);
}

/**
 * The region at address `rel` of the page of slot `ip`, whose address is HART_PC; null when it
 * is not to be had.
 */
function findAt(jit: Jit, ip: number, rel: number): Region | null {
  const code = codePageOf(jit, ip);
  const pc = currentPc(jit);
  const others = codePages(jit, pc - (pc % PAGE_SIZE));
  const { u16 } = jit.pool;
  const wants = (slot: number): boolean => jit.threshold === 0 || u16[slot >>> 1]! !== OP_UNDECODED;
  const base = pc - (pc % PAGE_SIZE);
  const pointerAt = pointersFrom(jit, base);
  const limits = { maxInsns: MAX_REGION_INSNS, wants, joined: false, pointerAt };
  return findRegion(jit.pool, (page) => (page === 0 ? code : others(page)), [rel], limits);
}

/** Reads addresses out of the program's memory, both relative to `base`. */
export function pointersFrom(jit: Jit, base: number): (rel: number) => number | null {
  const { u32 } = jit.pool.ram;
  return (rel) => {
    const address = base + rel;
    if (!(address >= 0 && address <= Number.MAX_SAFE_INTEGER && address % 8 === 0)) return null;
    const frame = jit.readable(address | 0, Math.floor(address / 0x1_0000_0000)) >>> 0;
    if (frame === 0) return null;
    const at = (frame + (address % PAGE_SIZE)) >>> 2;
    const pointer = u32[at]! + u32[at + 1]! * 0x1_0000_0000;
    return pointer <= Number.MAX_SAFE_INTEGER ? pointer - base : null;
  };
}

export function currentPc(jit: Jit): number {
  return ram32(jit, HART_PC + 4) * 0x1_0000_0000 + ram32(jit, HART_PC);
}

/** Code pages by their distance from the page at `base`. */
export function codePages(jit: Jit, base: number): (page: number) => number {
  return (page) => {
    const address = base + page * PAGE_SIZE;
    if (address < 0 || address > Number.MAX_SAFE_INTEGER) return 0;
    const frame = jit.executable(address | 0, Math.floor(address / 0x1_0000_0000)) >>> 0;
    return frame === 0 ? 0 : codeOfFrame(jit, frame >>> PAGE_SHIFT);
  };
}

/** Index of an entry in the memory by halfword. */
export function entryAt(jit: Jit, id: number): number {
  return (jit.pool.ram.layout.regionEntriesBase + id * REGION_ENTRY_SIZE) >>> 1;
}

/** Finds the region at slot `ip` and has it compiled, with others that get hot soon. */
function compileAt(jit: Jit, ip: number): void {
  const { pool, pending } = jit;
  if (jit.refused || isOverBudget(jit) || pool.u16[ip >>> 1]! >= OP_REGION) return;
  if (pending.some(({ slot }) => slot === ip) || keepsChanging(jit, ip)) return;
  const region = findAt(jit, ip, ram32(jit, HART_PC) & (PAGE_SIZE - 1));
  if (region === null) return;
  pending.push({ slot: ip, region });
  if (jit.threshold === 0) sweep(jit, ip, region);
  if (pending.length >= jit.pace.batchRegions) compilePending(jit);
}

/** Address after the instructions that follow `rel` without a gap in the region. */
function endOfRun(region: Region, rel: number): number {
  const lengths = new Map<number, number>();
  for (const { insns } of region.blocks)
    for (const insn of insns) lengths.set(insn.rel, insn.length);
  let at = rel;
  for (;;) {
    const length = lengths.get(at);
    if (length === undefined) return at;
    at += length;
  }
}

/** Adds what comes after the region at slot `ip` in its page, as it will run soon. */
function sweep(jit: Jit, ip: number, first: Region): void {
  const start = ram32(jit, HART_PC) & (PAGE_SIZE - 1);
  let region = first;
  let rel = start;
  for (let n = 0; n < SWEEP_REGIONS; n++) {
    const end = endOfRun(region, rel);
    rel = end === rel ? rel + 2 : end;
    if (rel >= PAGE_SIZE) return;
    const slot = ip + ((rel - start) / 2) * SLOT_SIZE;
    if (jit.pool.u16[slot >>> 1]! >= OP_REGION) return;
    const next = findAt(jit, ip, rel);
    if (next === null) continue;
    jit.pending.push({ slot, region: next });
    region = next;
  }
}

export function ram32(jit: Jit, offset: number): number {
  return jit.pool.ram.u32[offset >>> 2]!;
}

/** The code page of the slot at `ip`. */
export function codePageOf(jit: Jit, ip: number): number {
  return ip - ((ip - jit.pool.ram.layout.codePoolBase) % CODE_PAGE_SIZE);
}

/** The frame that a code page is of. */
function frameOf(jit: Jit, code: number): number {
  return jit.pool.ram.u32[(code + END_SLOT + 8) >>> 2]! >>> PAGE_SHIFT;
}

/** Whether as much has been compiled as the program's length so far can pay for. */
function isOverBudget({ pool: { ram }, stats, threshold }: Jit): boolean {
  const at = HART_INSTRET >>> 2;
  const retired = ram.u32[at]! + ram.u32[at + 1]! * 0x1_0000_0000;
  return threshold >= EAGER_THRESHOLD && stats.insns > BUDGET_BASE + retired / BUDGET_SHARE;
}

/** The code of a frame changed. */
function countDrop(jit: Jit, pfn: number, wasCompiled: boolean): void {
  if (wasCompiled) jit.drops[pfn]!++;
  if (jit.drops[pfn]! >= MAX_DROPS) jit.drops[pfn] = MAX_DROPS + SETTLE;
}

/** Whether the code of the slot at `ip` changes too often to be compiled. */
function keepsChanging(jit: Jit, ip: number): boolean {
  const pfn = frameOf(jit, codePageOf(jit, ip));
  if (jit.drops[pfn]! < MAX_DROPS) return false;
  // It may have become stable: each time that it is hot counts for that.
  jit.drops[pfn]!--;
  return true;
}

/** Whether the code that a region was found in is still that of its frames. */
function isCurrent(jit: Jit, region: Region): boolean {
  const { ram } = jit.pool;
  return [...region.pages.values()].every(
    (code) => ram.codeIndex[frameOf(jit, code)]! >>> 0 === code,
  );
}

/** Puts a module's functions into the table; takes them out again if the host cannot compile it. */
function instantiate(jit: Jit, bytes: Uint8Array<ArrayBuffer>, functions: readonly number[]): void {
  const { stats } = jit;
  try {
    // An instance that imports a table would get a copy of it.
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), jit.imports);
    for (const index of functions) jit.table.set(index, exports[`${index}`]);
    stats.compiled += functions.length;
    stats.modules++;
    stats.bytes += bytes.length;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    jit.refused = true;
    const { dropped } = stats;
    for (const region of [...jit.regions])
      if (functions.includes(region.functionIndex)) unlink(jit, region);
    stats.dropped = dropped;
  }
}

/** Compiles all that is pending, as one module: a module costs more than a region. */
export function compilePending(jit: Jit): void {
  const { pool, stats } = jit;
  const start = performance.now();
  const { layout } = pool.ram;
  const m = new ModuleBuilder(layout.bytes / 65536);
  const calls = importsInto(m, jit.instrument);
  const functions: number[] = [];
  for (const { slot, region } of jit.pending.splice(0)) {
    // It may be part of a region before it.
    if (!region.joined && pool.u16[slot >>> 1]! >= OP_REGION) continue;
    if (!isCurrent(jit, region)) continue;
    const functionIndex = takeFunction(jit);
    if (functionIndex < 0) break;
    const body = emitRegion(region, functionIndex, calls, pool);
    m.add(REGION_PARAMS, REGION_RESULTS, body, `${functionIndex}`);
    link(jit, region, functionIndex);
    functions.push(functionIndex);
    stats.insns += region.insnCount;
  }
  if (functions.length > 0) instantiate(jit, m.encode(), functions);
  evict(jit);
  stats.compileMs += performance.now() - start;
}

function takeFunction(jit: Jit): number {
  const free = jit.freeFunctions.pop();
  if (free !== undefined) return free;
  return jit.nextFunction < jit.pool.ram.layout.regionEntries ? jit.nextFunction++ : -1;
}

function takeEntry(jit: Jit): number {
  const free = jit.freeEntries.pop();
  if (free !== undefined) return free;
  return jit.nextEntry < jit.pool.ram.layout.regionEntries ? jit.nextEntry++ : -1;
}

/**
 * Puts entries into the slots where the region begins. A joined one takes over the entries that
 * other regions have there.
 */
function link(jit: Jit, region: Region, functionIndex: number): void {
  const { u16 } = jit.pool;
  const pages = [...region.pages.values()];
  const compiled: Compiled = {
    joined: region.joined,
    functionIndex,
    insns: region.insnCount,
    entries: new Map(),
    pages,
  };
  region.flow.entries.forEach((block, label) => {
    const rel = region.blocks[block]!.start;
    const slot = slotOf(region, rel);
    decodeSlots(jit.pool, slot, 1);
    const op = u16[slot >>> 1]!;
    const taken = op >= OP_REGION;
    if (taken && !region.joined) return;
    const id = taken ? op - OP_REGION : takeEntry(jit);
    // The region may have the same code at two addresses.
    if (id < 0 || compiled.entries.has(id)) return;
    const at = entryAt(jit, id);
    if (taken) giveUpEntry(jit, id);
    else u16[at + ENTRY_OP / 2] = op;
    u16[at + ENTRY_FUNCTION / 2] = functionIndex;
    u16[at + ENTRY_LABEL / 2] = label;
    u16[at + ENTRY_PAGE / 2] = rel >> PAGE_SHIFT;
    u16[slot >>> 1] = OP_REGION + id;
    compiled.entries.set(id, { slot, rel });
    jit.owners[id] = compiled;
  });
  jit.regions.add(compiled);
  jit.liveInsns += compiled.insns;
  for (const code of pages) {
    const known = jit.byPage.get(code);
    if (known === undefined) jit.byPage.set(code, new Set([compiled]));
    else known.add(compiled);
  }
}

/** Entry `id` goes to another region; one that has none left goes. */
function giveUpEntry(jit: Jit, id: number): void {
  const owner = jit.owners[id]!;
  owner.entries.delete(id);
  if (owner.entries.size === 0) unlink(jit, owner);
}

/** Takes a region's entries out; the function is collected once nothing runs it. */
function unlink(jit: Jit, region: Compiled): void {
  const { u16 } = jit.pool;
  for (const [id, { slot }] of region.entries) {
    if (u16[slot >>> 1] === OP_REGION + id) u16[slot >>> 1] = u16[entryAt(jit, id) + ENTRY_OP / 2]!;
    jit.freeEntries.push(id);
  }
  for (const code of region.pages) jit.byPage.get(code)?.delete(region);
  jit.table.set(region.functionIndex, null);
  jit.freeFunctions.push(region.functionIndex);
  jit.regions.delete(region);
  jit.liveInsns -= region.insns;
  jit.stats.dropped++;
}

/** Makes room by dropping the regions compiled first; what is hot comes back. */
function evict(jit: Jit): void {
  if (jit.liveInsns <= MAX_CODE_INSNS && jit.regions.size <= jit.maxRegions) return;
  const [insns, regions] = [MAX_CODE_INSNS * EVICT_TO, jit.maxRegions * EVICT_TO];
  for (const region of jit.regions) {
    if (jit.liveInsns <= insns && jit.regions.size <= regions) return;
    unlink(jit, region);
  }
}
