/**
 * epoll: a set of watched files with a list of those that may be ready. A file's wait queue
 * puts its item on the list; looking at the list asks the file again.
 *
 * @linux fs/eventpoll.c
 */

import { WaitQueue, type Waiter } from '../lib/wait_queue.ts';
import { EBADF, EEXIST, EINVAL, ELOOP, ENOENT, EPERM } from '../uapi/errno.ts';
import { O_RDWR } from '../uapi/fcntl.ts';
import {
  EP_PRIVATE_BITS,
  EPOLLET,
  EPOLLONESHOT,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLRDNORM,
} from '../uapi/poll.ts';
import type { File, FileOps, PollTable, Vfs } from './fs_types.ts';
import { anonFile } from './pipe.ts';
import { vfsPoll } from './poll.ts';

const ANON_MODE = 0o600;
/** Epoll instances that may watch each other in a row. @linux EP_MAX_NESTS */
const MAX_NESTS = 4;

/** One watched file. */
class EpItem implements Waiter, PollTable {
  readonly ep: EventPoll;
  readonly file: File;
  readonly fd: number;
  /** POLL* and EPOLL* bits asked for. */
  events: number;
  /** The user's value, as two words. */
  dataLo: number;
  dataHi: number;
  /** Queues of the file it stands in. */
  readonly queues: WaitQueue[] = [];
  readonly onRelease: (file: File) => void;

  constructor(ep: EventPoll, file: File, fd: number, event: EpollEvent) {
    this.ep = ep;
    this.file = file;
    this.fd = fd;
    this.events = event.events;
    this.dataLo = event.dataLo;
    this.dataHi = event.dataHi;
    this.onRelease = () => epRemove(ep, this);
  }

  add(queue: WaitQueue): void {
    queue.add(this);
    if (!this.queues.includes(queue)) this.queues.push(queue);
  }

  /** The file changed: it may be ready. Stands in its queues again for the next change. */
  wake(): void {
    for (const queue of this.queues) queue.add(this);
    // A one-shot item that has fired sleeps until it is modified.
    if ((this.events & ~EP_PRIVATE_BITS) === 0) return;
    this.ep.ready.add(this);
    this.ep.queue.wakeAll();
  }
}

export class EventPoll {
  readonly items: EpItem[] = [];
  /** Items of other instances that watch this one. */
  readonly watchers = new Set<EpItem>();
  /** Items that may be ready, oldest first. */
  readonly ready = new Set<EpItem>();
  /** Tasks in epoll_wait(), and whoever polls this instance. */
  readonly queue = new WaitQueue();
}

export interface EpollEvent {
  events: number;
  dataLo: number;
  dataHi: number;
}

function epOf(file: File): EventPoll | undefined {
  return file.data instanceof EventPoll ? file.data : undefined;
}

/** What `item` has now of what was asked for. */
function itemPoll(item: EpItem, pt: PollTable | null): number {
  return vfsPoll(item.file, pt) & (item.events | POLLERR | POLLHUP) & ~EP_PRIVATE_BITS;
}

function markIfReady(item: EpItem, pt: PollTable | null): void {
  if (itemPoll(item, pt) === 0) return;
  item.ep.ready.add(item);
  item.ep.queue.wakeAll();
}

function epRemove(ep: EventPoll, item: EpItem): void {
  for (const queue of item.queues) queue.remove(item);
  item.queues.length = 0;
  item.file.onRelease?.delete(item.onRelease);
  ep.ready.delete(item);
  epOf(item.file)?.watchers.delete(item);
  const at = ep.items.indexOf(item);
  if (at >= 0) ep.items.splice(at, 1);
}

/**
 * Instances in the longest chain below `ep`, which may not lead to `target`.
 * @param known results so far: instances may be watched by several.
 * @returns Infinity when it does.
 */
function depthBelow(ep: EventPoll, target: EventPoll, known: Map<EventPoll, number>): number {
  if (ep === target) return Number.POSITIVE_INFINITY;
  let depth = known.get(ep);
  if (depth !== undefined) return depth;
  depth = 0;
  for (const { file } of ep.items) {
    const inner = epOf(file);
    if (inner !== undefined) depth = Math.max(depth, 1 + depthBelow(inner, target, known));
  }
  known.set(ep, depth);
  return depth;
}

/** Instances in the longest chain that watches `ep`. @linux fs/eventpoll.c:ep_get_upwards_depth_proc */
function depthAbove(ep: EventPoll, known: Map<EventPoll, number>): number {
  let depth = known.get(ep);
  if (depth !== undefined) return depth;
  depth = 0;
  for (const item of ep.watchers) depth = Math.max(depth, 1 + depthAbove(item.ep, known));
  known.set(ep, depth);
  return depth;
}

/** Whether `ep` may watch `inner`: no loop, no chain so long that wake-ups exhaust the stack. @linux fs/eventpoll.c:ep_loop_check */
function mayNest(ep: EventPoll, inner: EventPoll): boolean {
  const below = depthBelow(inner, ep, new Map());
  return below + 1 + depthAbove(ep, new Map()) <= MAX_NESTS;
}

function findItem(ep: EventPoll, file: File, fd: number): EpItem | undefined {
  return ep.items.find((item) => item.file === file && item.fd === fd);
}

/** @returns 0, -EEXIST, -EPERM for a file that cannot be polled, -EINVAL, -ELOOP. */
export function epInsert(epFile: File, file: File, fd: number, event: EpollEvent): number {
  const ep = epOf(epFile);
  if (ep === undefined || epFile === file) return -EINVAL;
  if (file.fOps.poll === undefined) return -EPERM;
  if (findItem(ep, file, fd) !== undefined) return -EEXIST;
  const inner = epOf(file);
  if (inner !== undefined && !mayNest(ep, inner)) return -ELOOP;
  const item = new EpItem(ep, file, fd, event);
  ep.items.push(item);
  inner?.watchers.add(item);
  file.onRelease ??= new Set();
  file.onRelease.add(item.onRelease);
  markIfReady(item, item);
  return 0;
}

export function epModify(epFile: File, file: File, fd: number, event: EpollEvent): number {
  const ep = epOf(epFile);
  if (ep === undefined || epFile === file) return -EINVAL;
  const item = findItem(ep, file, fd);
  if (item === undefined) return -ENOENT;
  item.events = event.events;
  item.dataLo = event.dataLo;
  item.dataHi = event.dataHi;
  ep.ready.delete(item);
  markIfReady(item, null);
  return 0;
}

export function epDelete(epFile: File, file: File, fd: number): number {
  const ep = epOf(epFile);
  if (ep === undefined || epFile === file) return -EINVAL;
  const item = findItem(ep, file, fd);
  if (item === undefined) return -ENOENT;
  epRemove(ep, item);
  return 0;
}

/** Takes up to `max` events off an instance. Level-triggered ones stay for the next time. @linux ep_send_events */
export function epSendEvents(ep: EventPoll, max: number): EpollEvent[] {
  const sent: EpollEvent[] = [];
  for (const item of [...ep.ready]) {
    if (sent.length === max) break;
    ep.ready.delete(item);
    const events = itemPoll(item, null);
    if (events === 0) continue;
    sent.push({ events, dataLo: item.dataLo, dataHi: item.dataHi });
    if ((item.events & EPOLLONESHOT) !== 0) item.events &= EP_PRIVATE_BITS;
    // Behind the others, so that every ready file gets its turn.
    else if ((item.events & EPOLLET) === 0) ep.ready.add(item);
  }
  return sent;
}

/** The instance behind a descriptor's file. @returns -EBADF, -EINVAL for other files. */
export function epollOf(file: File | undefined): EventPoll | number {
  return file === undefined ? -EBADF : (epOf(file) ?? -EINVAL);
}

function epPoll(file: File, pt: PollTable | null): number {
  const ep = file.data as EventPoll;
  pt?.add(ep.queue);
  for (const item of ep.ready) if (itemPoll(item, null) !== 0) return POLLIN | POLLRDNORM;
  return 0;
}

function epRelease(file: File): void {
  const ep = file.data as EventPoll;
  for (const item of [...ep.items]) epRemove(ep, item);
}

const eventpollOps: FileOps = { poll: epPoll, release: epRelease };

/** @returns a file with one reference. */
export function createEpoll(vfs: Vfs): File {
  const file = anonFile(vfs, 'anon_inode:[eventpoll]', ANON_MODE, O_RDWR, eventpollOps);
  file.data = new EventPoll();
  return file;
}
