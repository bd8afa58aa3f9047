/**
 * The stack of the running task: the function at pc, its caller and so on. Call frame
 * information says where the caller's registers are; code without any is taken for a leaf at
 * the top, and for code with frame pointers elsewhere. Memory that is not there is not
 * faulted in: the stack ends there.
 *
 *     frame pointers      s0 -> |            |  = the caller's sp
 *                               | ra         |  s0 - 8
 *                               | caller's s0|  s0 - 16
 */

import { HART_PC, HART_X } from '../../arch/riscv/hart_state.ts';
import { PAGE_SIZE } from '../../arch/riscv/memlayout.ts';
import { ptePfn, PTE_V, TASK_SIZE, type Pte } from '../../arch/riscv/pgtable.ts';
import type { Ram } from '../../arch/riscv/ram.ts';
import { VDSO_SIGRETURN } from '../../kernel/vdso.ts';
import { fromHalves } from '../../lib/bits.ts';
import type { MmStruct, Vma } from '../../mm/mm_types.ts';
import { NO_PTEP, ptePtrOf } from '../../mm/pgtable.ts';
import { VM_EXEC } from '../../mm/vma.ts';
import { FRAME_UCONTEXT, UC_REGS } from '../../uapi/signal.ts';
import { newRegisters, PC, STEP_CALLER, STEP_END, STEP_LOST, stepRow } from './cfi.ts';
import type { ReadWord } from './dwarf_expr.ts';
import { frameOf, functionOf, moduleOf, placeAt, type Modules } from './modules.ts';

/** Frames of a stack that are looked at, the innermost. */
export const FRAMES_MAX = 256;
/** Bytes of the code of the sigreturn page. */
const SIGRETURN_BYTES = 8;
const WORD = 8;
const REG_RA = 1;
const REG_SP = 2;
const REG_S0 = 8;
const NR_X = 32;

/** A stack as it is being walked; one is used for all. */
export class Unwinder {
  readonly modules: Modules;
  readonly read: ReadWord;
  readonly registers = newRegisters();
  readonly scratch = newRegisters();
  /** Functions, innermost first: indexes in modules.functions. Valid below `depth`. */
  readonly frames = new Int32Array(FRAMES_MAX);
  depth = 0;
  /** The outermost function was reached. */
  complete = false;
  /** Whose stack it is. */
  mm: MmStruct | null = null;

  constructor(modules: Modules) {
    this.modules = modules;
    this.read = (addr) => (this.mm === null ? Number.NaN : readUserWord(this.mm, addr));
  }
}

/** The word at a user address, NaN when it is not in memory now. */
export function readUserWord(mm: MmStruct, addr: number): number {
  if (!(addr >= 0 && addr < TASK_SIZE) || addr % WORD !== 0) return Number.NaN;
  const { ram } = mm.pgdat;
  const ptep = ptePtrOf(mm, addr);
  if (ptep === NO_PTEP) return Number.NaN;
  const pte = ram.u32[ptep] as Pte;
  if ((pte & PTE_V) === 0) return Number.NaN;
  const word = (ptePfn(pte) * PAGE_SIZE + (addr % PAGE_SIZE)) / 4;
  return fromHalves(ram.i32[word]!, ram.i32[word + 1]!);
}

/** Takes the registers on the hart for the next unwind(). */
export function captureHart(u: Unwinder, ram: Ram): void {
  const { registers } = u;
  registers.fill(Number.NaN);
  for (let x = 0; x < NR_X; x++) {
    const word = (HART_X >> 2) + 2 * x;
    registers[x] = fromHalves(ram.i32[word]!, ram.i32[word + 1]!);
  }
  registers[PC] = fromHalves(ram.i32[HART_PC >> 2]!, ram.i32[(HART_PC >> 2) + 1]!);
}

/** The VMA whose code is at `addr`. */
function codeVma(mm: MmStruct, addr: number): Vma | null {
  if (!(addr >= 0 && addr < TASK_SIZE)) return null;
  const vma = mm.vmas.find(addr);
  return vma === undefined || vma.start > addr || (vma.flags & VM_EXEC) === 0 ? null : vma;
}

/** A handler has returned, or is about to: the registers it interrupted are in its frame. @linux arch/riscv/kernel/signal.c:restore_sigcontext */
function stepSigreturn(u: Unwinder): number {
  const { registers } = u;
  const at = registers[REG_SP]! + FRAME_UCONTEXT + UC_REGS;
  const pc = u.read(at);
  if (Number.isNaN(pc)) return STEP_LOST;
  for (let x = 1; x < NR_X; x++) registers[x] = u.read(at + x * WORD);
  registers[PC] = pc;
  return STEP_CALLER;
}

/** Code that says nothing, with a frame pointer. */
function stepFramePointer(u: Unwinder): number {
  const { registers } = u;
  const cfa = registers[REG_S0]!;
  // What programs and threads start with.
  if (cfa === 0) return STEP_END;
  if (!(cfa > registers[REG_SP]!)) return STEP_LOST;
  const ra = u.read(cfa - WORD);
  if (codeVma(u.mm!, ra - 1) === null) return ra === 0 ? STEP_END : STEP_LOST;
  registers[REG_S0] = u.read(cfa - 2 * WORD);
  registers[REG_SP] = cfa;
  registers[REG_RA] = ra;
  registers[PC] = ra;
  return STEP_CALLER;
}

/** The innermost function, which says nothing: its return address is taken to be still in ra, unless that is one of its own. */
function stepLeaf(u: Unwinder, fn: number): number {
  const { registers } = u;
  const ra = registers[REG_RA]!;
  if (ra === 0) return STEP_END;
  const vma = codeVma(u.mm!, ra - 1);
  if (vma === null) return stepFramePointer(u);
  const caller = placeAt(u.modules, moduleOf(u.modules, vma), vma, ra - 1);
  if (caller.fn === fn) return stepFramePointer(u);
  registers[PC] = ra;
  return STEP_CALLER;
}

/** Adds the function at `addr` and goes on to its caller. @returns STEP_*. */
function stepFunction(u: Unwinder, addr: number): number {
  const vma = codeVma(u.mm!, addr);
  if (vma === null) return u.registers[PC] === 0 ? STEP_END : STEP_LOST;
  const module = moduleOf(u.modules, vma);
  const { fn, row } = placeAt(u.modules, module, vma, addr);
  u.frames[u.depth++] = fn;
  if (row !== null) return stepRow(frameOf(module), row, u.registers, u.scratch, u.read);
  return u.depth === 1 ? stepLeaf(u, fn) : stepFramePointer(u);
}

function inSigreturn(pc: number): boolean {
  return pc >= VDSO_SIGRETURN && pc < VDSO_SIGRETURN + SIGRETURN_BYTES;
}

/** Whether the registers are as an instruction found them, not as a call left them. */
function isSignalFrame(u: Unwinder, addr: number): boolean {
  const vma = codeVma(u.mm!, addr);
  if (vma === null) return false;
  const { row } = placeAt(u.modules, moduleOf(u.modules, vma), vma, addr);
  return row?.signalFrame === true;
}

/** Walks the stack of the captured registers, of a task that runs in `mm`, into u.frames. */
export function unwind(u: Unwinder, mm: MmStruct): void {
  const { registers } = u;
  u.mm = mm;
  u.depth = 0;
  u.complete = false;
  let interrupted = true;
  while (u.depth < FRAMES_MAX) {
    const pc = registers[PC]!;
    const sp = registers[REG_SP]!;
    let step: number;
    if (inSigreturn(pc)) {
      const vma = codeVma(mm, pc);
      if (vma === null) return;
      u.frames[u.depth++] = functionOf(u.modules, moduleOf(u.modules, vma), '__vdso_rt_sigreturn');
      step = stepSigreturn(u);
      interrupted = true;
    } else {
      // A call may be the last instruction of its function: what it returns to is the next one.
      const addr: number = interrupted ? pc : pc - 1;
      step = stepFunction(u, addr);
      interrupted = step === STEP_CALLER && isSignalFrame(u, addr);
    }
    u.complete = step === STEP_END;
    if (step !== STEP_CALLER || (registers[PC] === pc && registers[REG_SP] === sp)) return;
  }
}
