/**
 * Switching swap areas on, and the header that mkswap writes.
 *
 *     byte   1024  version (1)        4086  "SWAPSPACE2"
 *            1028  last page
 *            1032  number of bad pages
 *            1036  UUID, label
 *            1536  the bad pages
 *
 * @linux mm/swapfile.c:SYSCALL_DEFINE2(swapon), include/linux/swap.h:swap_header
 */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { MAX_SWAPFILES } from '../arch/riscv/pgtable.ts';
import { EBUSY, EINVAL, EPERM } from '../uapi/errno.ts';
import { SWAP_FLAG_PREFER, SWAP_FLAG_PRIO_MASK, SWAP_FLAGS_VALID } from '../uapi/swap.ts';
import type { PgData } from './mm_types.ts';
import {
  deviceSlots,
  MAX_SWAP_SLOTS,
  SWAP_MAP_BAD,
  SWAPFILE_CLUSTER,
  SwapInfo,
  type SwapDevice,
} from './swap_types.ts';

const MAGIC = 'SWAPSPACE2';
const MAGIC_AT = PAGE_SIZE - MAGIC.length;
const VERSION = 1;
const VERSION_AT = 1024;
const LAST_PAGE_AT = 1028;
const NR_BAD_PAGES_AT = 1032;
const BAD_PAGES_AT = 1536;
const MAX_BAD_PAGES = (MAGIC_AT - BAD_PAGES_AT) / 4;

/** Makes a device a swap area, as mkswap does. @returns 0 or -errno. */
export function writeSwapHeader(device: SwapDevice): number {
  const header = new Uint8Array(PAGE_SIZE);
  const view = new DataView(header.buffer);
  view.setUint32(VERSION_AT, VERSION, true);
  view.setUint32(LAST_PAGE_AT, deviceSlots(device) - 1, true);
  for (let i = 0; i < MAGIC.length; i++) header[MAGIC_AT + i] = MAGIC.charCodeAt(i);
  return device.writePage(0, header, 0);
}

interface SwapHeader {
  /** Slots, the header's own included. */
  readonly slots: number;
  readonly badPages: readonly number[];
}

/** @returns what the header says, or -EINVAL, or -EIO. @linux mm/swapfile.c:read_swap_header */
function readSwapHeader(device: SwapDevice): SwapHeader | number {
  if (device.bytes < 2 * PAGE_SIZE) return -EINVAL;
  const header = new Uint8Array(PAGE_SIZE);
  const err = device.readPage(0, header, 0);
  if (err !== 0) return err;
  const view = new DataView(header.buffer);
  const magic = String.fromCharCode(...header.subarray(MAGIC_AT));
  if (magic !== MAGIC || view.getUint32(VERSION_AT, true) !== VERSION) return -EINVAL;
  const lastPage = view.getUint32(LAST_PAGE_AT, true);
  if (lastPage === 0 || lastPage >= deviceSlots(device)) return -EINVAL;
  const slots = Math.min(lastPage + 1, MAX_SWAP_SLOTS);
  const nrBad = view.getUint32(NR_BAD_PAGES_AT, true);
  if (nrBad > MAX_BAD_PAGES) return -EINVAL;
  const badPages: number[] = [];
  for (let i = 0; i < nrBad; i++) {
    const page = view.getUint32(BAD_PAGES_AT + 4 * i, true);
    if (page === 0 || page > lastPage) return -EINVAL;
    if (page < slots && !badPages.includes(page)) badPages.push(page);
  }
  return { slots, badPages };
}

function freeType(pgdat: PgData): number {
  const { areas } = pgdat.swap;
  const at = areas.indexOf(null);
  return at < 0 ? areas.length : at;
}

/** The area a device is in use as, if it is. */
export function swapInfoOfDevice(pgdat: PgData, device: SwapDevice): SwapInfo | undefined {
  return pgdat.swap.active.find((area) => area.device === device);
}

function enableSwapInfo(pgdat: PgData, area: SwapInfo): void {
  const { swap } = pgdat;
  swap.areas[area.type] = area;
  const at = swap.active.findIndex((other) => other.prio < area.prio);
  swap.active.splice(at < 0 ? swap.active.length : at, 0, area);
  swap.totalPages += area.pages;
  swap.freePages += area.pages;
}

/**
 * Switches a device on as swap.
 *
 * @param name as /proc/swaps prints it.
 * @param flags SWAP_FLAG_*; discarding is accepted and without effect, as on a device that cannot.
 * @returns 0; -EINVAL (flags, or no proper header); -EBUSY (it is on already); -EPERM (too
 *   many areas); -EIO.
 * @linux mm/swapfile.c:SYSCALL_DEFINE2(swapon)
 */
export function doSwapon(pgdat: PgData, device: SwapDevice, name: string, flags: number): number {
  if ((flags & ~SWAP_FLAGS_VALID) !== 0) return -EINVAL;
  const type = freeType(pgdat);
  if (type >= MAX_SWAPFILES) return -EPERM;
  if (swapInfoOfDevice(pgdat, device) !== undefined) return -EBUSY;
  const header = readSwapHeader(device);
  if (typeof header === 'number') return header;
  const { slots, badPages } = header;
  if (badPages.length >= slots - 1) return -EINVAL;
  const wanted = (flags & SWAP_FLAG_PREFER) !== 0;
  const prio = wanted ? flags & SWAP_FLAG_PRIO_MASK : --pgdat.swap.leastPriority;
  const area = new SwapInfo(type, device, name, prio, slots, badPages.length);
  for (const page of badPages) {
    area.map[page] = SWAP_MAP_BAD;
    area.clusterFree[Math.floor(page / SWAPFILE_CLUSTER)]!--;
  }
  enableSwapInfo(pgdat, area);
  return 0;
}
