/**
 * Faults that a program serves: accesses to missing pages of registered memory wait until
 * somebody fills the page in.
 *
 *     access -> handleUserfault() -> VM_FAULT_RETRY -> the task waits in fault.queue
 *     read(uffd)  <- message          ...                        |
 *     UFFDIO_COPY -> page mapped -> wakeUserfault() -> the access is made again
 *
 * @linux mm/userfaultfd.c
 */

import type { Vaddr } from '../arch/riscv/pgtable.ts';
import { WaitQueue } from '../lib/wait_queue.ts';
import {
  UFFD_FEATURE_EVENT_FORK,
  UFFD_FEATURE_EVENT_REMAP,
  UFFD_FEATURE_SIGBUS,
  UFFD_FEATURE_THREAD_ID,
  UFFD_PAGEFAULT_FLAG_WRITE,
} from '../uapi/userfaultfd.ts';
import { Userfault, UserfaultfdCtx, type UffdEvent, type Vma } from './mm_types.ts';
import { FAULT_FLAG_USER, FAULT_FLAG_WRITE, VM_FAULT_RETRY, VM_FAULT_SIGBUS } from './vm_fault.ts';
import { VM_UFFD_FLAGS } from './vma.ts';
import { vmaSetFlags } from './vma_link.ts';

/**
 * A missing page of registered memory is wanted.
 * @returns VM_FAULT_RETRY with pgdat.userfault set, or VM_FAULT_SIGBUS.
 * @linux mm/userfaultfd.c:handle_userfault
 */
export function handleUserfault(vma: Vma, addr: Vaddr, flags: number): number {
  const ctx = vma.uffdCtx;
  if (ctx === null || (ctx.features & UFFD_FEATURE_SIGBUS) !== 0) return VM_FAULT_SIGBUS;
  if ((flags & FAULT_FLAG_USER) === 0 && ctx.userModeOnly) return VM_FAULT_SIGBUS;
  const write = (flags & FAULT_FLAG_WRITE) !== 0 ? UFFD_PAGEFAULT_FLAG_WRITE : 0;
  vma.mm.pgdat.userfault = new Userfault(ctx, addr, write);
  return VM_FAULT_RETRY;
}

/** Tells whoever reads of an access; the task that makes it has joined its queue. */
export function queueUserfault(fault: Userfault, pid: number): void {
  const { ctx } = fault;
  if ((ctx.features & UFFD_FEATURE_THREAD_ID) !== 0) fault.ptid = pid;
  ctx.faults = ctx.faults.filter(({ queue }) => queue.size > 0);
  ctx.faults.push(fault);
  ctx.wait.wakeAll();
}

/** The oldest access that still waits and was not told yet. @linux mm/userfaultfd.c:find_userfault */
export function findUserfault(ctx: UserfaultfdCtx): Userfault | undefined {
  return ctx.faults.find(({ read, queue }) => !read && queue.size > 0);
}

/** Lets the accesses to [start, end) be made again. @linux mm/userfaultfd.c:wake_userfault */
export function wakeUserfault(ctx: UserfaultfdCtx, start: Vaddr, end: Vaddr): void {
  ctx.faults = ctx.faults.filter(({ address, queue }) => {
    if (address < start || address >= end) return queue.size > 0;
    queue.wakeAll();
    return false;
  });
}

/** Nobody tells any more: what waits goes on with pages of zeroes. @linux mm/userfaultfd.c:userfaultfd_release */
export function userfaultfdRelease(ctx: UserfaultfdCtx): void {
  const { mm } = ctx;
  if (mm.users > 0) {
    for (const vma of [...mm.vmas]) if (vma.uffdCtx === ctx) userfaultfdResetCtx(vma);
  }
  wakeUserfault(ctx, 0, Number.POSITIVE_INFINITY);
  for (const { queue } of ctx.events) queue.wakeAll();
  ctx.events.length = 0;
  ctx.wait.wakeAll();
}

/** @linux mm/userfaultfd.c:userfaultfd_reset_ctx */
function userfaultfdResetCtx(vma: Vma): void {
  vma.uffdCtx = null;
  vmaSetFlags(vma, vma.flags & ~VM_UFFD_FLAGS);
}

/** Has the call in progress end when the event has been read. @linux mm/userfaultfd.c:userfaultfd_event_wait_completion */
function queueEvent(ctx: UserfaultfdCtx, event: Omit<UffdEvent, 'queue'>): void {
  const queued = { ...event, queue: new WaitQueue() };
  ctx.events.push(queued);
  ctx.mm.uffdEvents.push(queued);
  ctx.wait.wakeAll();
}

/** The event that is read next. @linux mm/userfaultfd.c:find_userfault_evt */
export function findUffdEvent(ctx: UserfaultfdCtx): UffdEvent | undefined {
  return ctx.events[0];
}

/** The event was read: its author goes on. @linux mm/userfaultfd.c:userfaultfd_event_complete */
export function uffdEventComplete(ctx: UserfaultfdCtx, event: UffdEvent): void {
  ctx.events.splice(ctx.events.indexOf(event), 1);
  event.queue.wakeAll();
}

/**
 * A child's copy of a registered VMA, not yet in its mm: registered too if the reader wants
 * children, with a userfaultfd of the child's own.
 * @param made what this fork has made, by the parent's.
 * @linux mm/userfaultfd.c:dup_userfaultfd
 */
export function dupUserfaultfd(vma: Vma, made: Map<UserfaultfdCtx, UserfaultfdCtx>): void {
  const old = vma.uffdCtx;
  if (old === null) return;
  if ((old.features & UFFD_FEATURE_EVENT_FORK) === 0) {
    vma.uffdCtx = null;
    vma.flags &= ~VM_UFFD_FLAGS;
    return;
  }
  let ctx = made.get(old);
  if (ctx === undefined) {
    ctx = new UserfaultfdCtx(vma.mm, old.userModeOnly);
    ctx.features = old.features;
    ctx.initialized = true;
    made.set(old, ctx);
  }
  vma.uffdCtx = ctx;
}

/** The fork has succeeded: the readers are told. @linux mm/userfaultfd.c:dup_userfaultfd_complete */
export function dupUserfaultfdComplete(made: ReadonlyMap<UserfaultfdCtx, UserfaultfdCtx>): void {
  for (const [old, child] of made) queueEvent(old, { kind: 'fork', child, from: 0, to: 0, len: 0 });
}

/** A registered mapping has moved: it stays registered if the reader wants to know, else not. @linux mm/userfaultfd.c:mremap_userfaultfd_prep */
export function mremapUserfaultfd(vma: Vma, from: Vaddr, to: Vaddr, len: number): void {
  const ctx = vma.uffdCtx;
  if (ctx === null) return;
  if ((ctx.features & UFFD_FEATURE_EVENT_REMAP) === 0) userfaultfdResetCtx(vma);
  else queueEvent(ctx, { kind: 'remap', child: null, from, to, len });
}
