/**
 * Which memory a userfaultfd serves.
 *
 * @linux mm/userfaultfd.c
 */

import type { Vaddr } from '../arch/riscv/pgtable.ts';
import { EBUSY, EINVAL, ENOMEM, EPERM } from '../uapi/errno.ts';
import type { MmStruct, UserfaultfdCtx, Vma } from './mm_types.ts';
import { findVmaIntersection } from './mmap.ts';
import { wakeUserfault } from './userfaultfd.ts';
import {
  VM_DROPPABLE,
  VM_MAYWRITE,
  VM_UFFD_FLAGS,
  VM_UFFD_MISSING,
  vmaIsAnonymous,
} from './vma.ts';
import { VM_SPECIAL, vmaModifyKind } from './vma_merge.ts';

/** @linux mm/userfaultfd.c:vma_can_userfault */
function vmaCanUserfault(vma: Vma): boolean {
  if ((vma.flags & (VM_DROPPABLE | VM_SPECIAL)) !== 0) return false;
  return vmaIsAnonymous(vma) || vma.file?.mapping.swapBacked === true;
}

/** Changes who serves [start, end) of a VMA. @returns the VMA of the range, or -ENOMEM. */
function setCtx(
  vma: Vma,
  start: Vaddr,
  end: Vaddr,
  ctx: UserfaultfdCtx | null,
  bits: number,
): Vma | number {
  const { file, ops, anonName } = vma;
  const flags = (vma.flags & ~VM_UFFD_FLAGS) | bits;
  return vmaModifyKind(vma, start, end, { flags, file, ops, anonName, uffdCtx: ctx }) ?? -ENOMEM;
}

/** Calls `change` for the part of every VMA that lies in [start, end). @returns the first error, or 0. */
function changeRange(
  mm: MmStruct,
  start: Vaddr,
  end: Vaddr,
  change: (vma: Vma, from: Vaddr, to: Vaddr) => Vma | number,
): number {
  let vma = findVmaIntersection(mm, start, end);
  while (vma !== undefined && vma.start < end) {
    const from = Math.max(vma.start, start);
    const changed = change(vma, from, Math.min(vma.end, end));
    if (typeof changed === 'number') return changed;
    vma = mm.vmas.next(changed);
  }
  return 0;
}

/**
 * Has faults on missing pages of [start, end) told to `ctx`.
 *
 * @returns 0; -EINVAL (nothing is mapped there, or something that cannot be served); -EPERM (a
 *   shared mapping that may not be written); -EBUSY (another userfaultfd has it); -ENOMEM.
 * @linux mm/userfaultfd.c:userfaultfd_register
 */
export function userfaultfdRegister(ctx: UserfaultfdCtx, start: Vaddr, end: Vaddr): number {
  const { mm } = ctx;
  let vma = findVmaIntersection(mm, start, end);
  if (vma === undefined) return -EINVAL;
  for (; vma !== undefined && vma.start < end; vma = mm.vmas.next(vma)) {
    if (!vmaCanUserfault(vma)) return -EINVAL;
    if ((vma.flags & VM_MAYWRITE) === 0) return -EPERM;
    if (vma.uffdCtx !== null && vma.uffdCtx !== ctx) return -EBUSY;
  }
  return changeRange(mm, start, end, (each, from, to) =>
    each.uffdCtx === ctx ? each : setCtx(each, from, to, ctx, VM_UFFD_MISSING),
  );
}

/**
 * @returns 0; -EINVAL (nothing is mapped there, or something that cannot be served or that
 *   another userfaultfd has); -ENOMEM.
 * @linux mm/userfaultfd.c:userfaultfd_unregister
 */
export function userfaultfdUnregister(ctx: UserfaultfdCtx, start: Vaddr, end: Vaddr): number {
  const { mm } = ctx;
  let vma = findVmaIntersection(mm, start, end);
  if (vma === undefined) return -EINVAL;
  for (; vma !== undefined && vma.start < end; vma = mm.vmas.next(vma)) {
    if (vma.uffdCtx !== null && vma.uffdCtx !== ctx) return -EINVAL;
    if (!vmaCanUserfault(vma)) return -EINVAL;
  }
  return changeRange(mm, start, end, (each, from, to) => {
    if (each.uffdCtx === null) return each;
    wakeUserfault(ctx, from, to);
    return setCtx(each, from, to, null, 0);
  });
}
