/** Flags of swapon(2). @linux include/linux/swap.h */

/** The priority in the low bits counts; without it the kernel gives one below all others. */
export const SWAP_FLAG_PREFER = 0x8000;
export const SWAP_FLAG_PRIO_MASK = 0x7fff;
const SWAP_FLAG_DISCARD = 0x1_0000;
const SWAP_FLAG_DISCARD_ONCE = 0x2_0000;
const SWAP_FLAG_DISCARD_PAGES = 0x4_0000;

export const SWAP_FLAGS_VALID =
  SWAP_FLAG_PRIO_MASK |
  SWAP_FLAG_PREFER |
  SWAP_FLAG_DISCARD |
  SWAP_FLAG_DISCARD_ONCE |
  SWAP_FLAG_DISCARD_PAGES;
