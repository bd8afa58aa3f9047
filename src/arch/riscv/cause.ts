/** Why the processor stopped: exception codes of the Privileged manual, table "scause", and our own. */

export const CAUSE_INSN_MISALIGNED = 0;
export const CAUSE_INSN_ACCESS = 1;
export const CAUSE_ILLEGAL_INSN = 2;
export const CAUSE_BREAKPOINT = 3;
export const CAUSE_LOAD_MISALIGNED = 4;
export const CAUSE_LOAD_ACCESS = 5;
export const CAUSE_STORE_MISALIGNED = 6;
export const CAUSE_STORE_ACCESS = 7;
export const CAUSE_ECALL_U = 8;
export const CAUSE_INSN_PAGE_FAULT = 12;
export const CAUSE_LOAD_PAGE_FAULT = 13;
export const CAUSE_STORE_PAGE_FAULT = 15;
/** The instruction budget of run() is used up, or HART_INTERRUPT was set. Not an ISA cause. */
export const CAUSE_BUDGET = 32;
