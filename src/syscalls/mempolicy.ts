/** Where memory is to come from: there is one node, so only what is asked can be wrong. @linux mm/mempolicy.c */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { pageAlignUp, TASK_SIZE } from '../arch/riscv/pgtable.ts';
import { capable } from '../kernel/cred.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Task } from '../kernel/task.ts';
import type { MmStruct } from '../mm/mm_types.ts';
import { copyFromUser } from '../mm/uaccess.ts';
import { CAP_SYS_NICE } from '../uapi/capability.ts';
import { EFAULT, EINVAL, EPERM } from '../uapi/errno.ts';
import * as uapi from '../uapi/mempolicy.ts';
import type { SyscallArgs } from './args.ts';

/** Nodes a kernel can know at most; of these only node 0 is there. @linux arch/riscv/Kconfig:NODES_SHIFT */
const MAX_NUMNODES = 4;
const NODE_0 = 1;
/** Bits that a mask of nodes may have. */
const MAX_NODE_BITS = PAGE_SIZE * 8;

/** @returns the nodes as bits, -EINVAL when an impossible one is named, or -EFAULT. @linux mm/mempolicy.c:get_nodes */
function getNodes(mm: MmStruct, nmask: number, maxnode: number): number {
  const bits = maxnode - 1;
  if (nmask === 0 || bits === 0) return 0;
  if (bits < 0 || bits > MAX_NODE_BITS) return -EINVAL;
  const mask = new Uint8Array(Math.ceil(bits / 64) * 8);
  if (copyFromUser(mm, mask, nmask) !== 0) return -EFAULT;
  if (bits % 64 !== 0) {
    // What lies behind the last bit means nothing.
    for (let bit = bits; bit < mask.length * 8; bit++) mask[bit >> 3]! &= ~(1 << (bit & 7));
  }
  const first = mask[0]!;
  const impossible = mask.some((byte, i) => i > 0 && byte !== 0) || first >= 1 << MAX_NUMNODES;
  return impossible ? -EINVAL : first;
}

/** @returns 0 or -EINVAL. @linux mm/mempolicy.c:sanitize_mpol_flags, mpol_new, mpol_set_nodemask */
function checkPolicy(mode: number, flags: number, nodes: number): number {
  const absolute = flags & (uapi.MPOL_F_STATIC_NODES | uapi.MPOL_F_RELATIVE_NODES);
  if (absolute === (uapi.MPOL_F_STATIC_NODES | uapi.MPOL_F_RELATIVE_NODES)) return -EINVAL;
  const balanced = mode === uapi.MPOL_BIND || mode === uapi.MPOL_PREFERRED_MANY;
  if ((flags & uapi.MPOL_F_NUMA_BALANCING) !== 0 && !balanced) return -EINVAL;
  switch (mode) {
    case uapi.MPOL_DEFAULT:
      return nodes === 0 ? 0 : -EINVAL;
    case uapi.MPOL_PREFERRED:
      if (nodes === 0) return absolute !== 0 ? -EINVAL : 0;
      return (nodes & NODE_0) === 0 ? -EINVAL : 0;
    case uapi.MPOL_LOCAL:
      return nodes === 0 && absolute === 0 ? 0 : -EINVAL;
    default:
      return (nodes & NODE_0) === 0 ? -EINVAL : 0;
  }
}

/** @returns 0, or -EFAULT when something in the range is not mapped. @linux mm/mempolicy.c:queue_pages_test_walk */
function checkMapped(mm: MmStruct, start: number, end: number): number {
  for (let addr = start; addr < end; ) {
    const vma = mm.vmas.find(addr);
    if (vma === undefined || vma.start > addr) return -EFAULT;
    addr = vma.end;
  }
  return 0;
}

export function sysMbind(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const mm = task.mm!;
  const start = args.ulong(0);
  const mode = args.int(2) & ~uapi.MPOL_MODE_FLAGS;
  const modeFlags = args.int(2) & uapi.MPOL_MODE_FLAGS;
  if (mode < 0 || mode >= uapi.MPOL_MAX) return -EINVAL;
  const nodes = getNodes(mm, args.ulong(3), args.ulong(4));
  if (nodes < 0) return nodes;
  const flags = args.uint(5);
  const valid = uapi.MPOL_MF_STRICT | uapi.MPOL_MF_MOVE | uapi.MPOL_MF_MOVE_ALL;
  if ((flags & ~valid) !== 0) return -EINVAL;
  const all = (flags & uapi.MPOL_MF_MOVE_ALL) !== 0;
  if (all && !capable(task.cred, CAP_SYS_NICE)) return -EPERM;
  const len = args.ulong(1);
  if (start % PAGE_SIZE !== 0 || start > TASK_SIZE || len > TASK_SIZE) return -EINVAL;
  if (len === 0) return 0;
  const err = checkPolicy(mode, modeFlags, nodes);
  if (err !== 0) return err;
  return mode === uapi.MPOL_DEFAULT ? 0 : checkMapped(mm, start, start + pageAlignUp(len));
}
