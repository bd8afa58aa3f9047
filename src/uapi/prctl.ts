/** prctl(2). @linux include/uapi/linux/prctl.h */

export const PR_SET_PDEATHSIG = 1;
export const PR_GET_PDEATHSIG = 2;
export const PR_GET_DUMPABLE = 3;
export const PR_SET_DUMPABLE = 4;
export const PR_GET_KEEPCAPS = 7;
export const PR_SET_KEEPCAPS = 8;
export const PR_GET_TIMING = 13;
export const PR_SET_NAME = 15;
export const PR_GET_NAME = 16;
export const PR_GET_SECCOMP = 21;
export const PR_CAPBSET_READ = 23;
export const PR_CAPBSET_DROP = 24;
export const PR_SET_TIMERSLACK = 29;
export const PR_GET_TIMERSLACK = 30;
export const PR_SET_CHILD_SUBREAPER = 36;
export const PR_GET_CHILD_SUBREAPER = 37;
export const PR_SET_NO_NEW_PRIVS = 38;
export const PR_GET_NO_NEW_PRIVS = 39;
export const PR_SET_THP_DISABLE = 41;
export const PR_GET_THP_DISABLE = 42;
export const PR_CAP_AMBIENT = 47;
export const PR_SET_VMA = 0x5356_4d41;
export const PR_SET_VMA_ANON_NAME = 0;
/** Longest name of PR_SET_VMA_ANON_NAME, its NUL included. */
export const ANON_VMA_NAME_MAX_LEN = 80;

export const PR_SET_MDWE = 65;
export const PR_MDWE_REFUSE_EXEC_GAIN = 1;
export const PR_MDWE_NO_INHERIT = 2;
export const PR_GET_MDWE = 66;
/** COW page tables under a number of our own ("CPET"): arg2 is one of COW_PTE_*. */
export const PR_COW_PTE = 0x4350_4554;
/** @returns 1 if fork shares this process's page tables, else 0. */
export const COW_PTE_GET = 0;
export const COW_PTE_SET = 1;
export const COW_PTE_CLEAR = 2;

/** Bytes of a task's name, its NUL included. */
export const TASK_COMM_LEN = 16;
