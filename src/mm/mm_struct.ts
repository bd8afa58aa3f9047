/** Flags of an address space. @linux include/linux/mm_types.h:MMF_* */

/** COW page tables asked for; the next fork turns them on (patch 01 and 14 of the series). */
export const MMF_COW_PTE_READY = 1 << 0;
/** fork shares this mm's page tables. Inherited over fork and exec. */
export const MMF_COW_PTE = 1 << 1;
/** Private pages have been taken away from under dying tasks: a fault there is SIGBUS. */
export const MMF_UNSTABLE = 1 << 2;

/** No limit, as RLIM_INFINITY. */
export const RLIM_NONE = Number.POSITIVE_INFINITY;
