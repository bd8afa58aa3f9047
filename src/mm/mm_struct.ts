/** Flags of an address space. @linux include/linux/mm_types.h:MMF_* */

/** COW page tables asked for; the next fork turns them on (patch 01 and 14 of the series). */
export const MMF_COW_PTE_READY = 1 << 0;
/** fork shares this mm's page tables. Inherited over fork and exec. */
export const MMF_COW_PTE = 1 << 1;
/** Private pages have been taken away from under dying tasks: a fault there is SIGBUS. */
export const MMF_UNSTABLE = 1 << 2;
/** PR_SET_MDWE: nothing becomes executable that was not, nothing is both writable and executable. */
export const MMF_HAS_MDWE = 1 << 3;
/** MMF_HAS_MDWE ends at fork and exec. */
export const MMF_HAS_MDWE_NO_INHERIT = 1 << 4;
/** PR_SET_DUMPABLE 0: only a tracer with CAP_SYS_PTRACE may look in. Inherited over fork, not exec. */
export const MMF_NOT_DUMPABLE = 1 << 5;

/** What a new address space takes over from its parent's, or its program's before. @linux include/linux/mm_types.h:mmf_init_legacy_flags */
export function mmfInitFlags(flags: number): number {
  const mdwe = MMF_HAS_MDWE | MMF_HAS_MDWE_NO_INHERIT;
  const inherited = (flags & MMF_HAS_MDWE_NO_INHERIT) === 0 ? flags : flags & ~mdwe;
  return inherited & (MMF_COW_PTE_READY | MMF_COW_PTE | MMF_HAS_MDWE | MMF_NOT_DUMPABLE);
}

/** No limit, as RLIM_INFINITY. */
export const RLIM_NONE = Number.POSITIVE_INFINITY;
