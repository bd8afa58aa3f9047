/**
 * What swap is written to: memory of the host, or a file of it.
 *
 * A file may be cut, replaced or written to by somebody else while the machine runs, so every
 * page is given back only if it is what was written: its checksum is kept here.
 */

import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { addSwapDevice } from '../fs/devfs.ts';
import type { GuestTree } from './root_fs.ts';
import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { MAX_SWAPFILES } from '../arch/riscv/pgtable.ts';
import type { PgData } from '../mm/mm_types.ts';
import { MAX_SWAP_SLOTS, type SwapDevice } from '../mm/swap_types.ts';
import { doSwapon, writeSwapHeader } from '../mm/swapon.ts';
import { EBUSY, EINVAL, EIO } from '../uapi/errno.ts';
import { CowshedError, errnoError } from './errors.ts';

/** A file of the host to swap to. */
export interface SwapFile {
  readonly file: string;
  /** Bytes; needed for a file that does not exist or is empty, which is then made a swap area. */
  readonly bytes?: number | undefined;
}

/** One swap area: so many bytes of the host's memory, or a file. */
export type SwapSpec = number | SwapFile;

/** Memory is taken from the host this much at a time, when it is first written. */
const CHUNK_PAGES = 256;
const MIN_SWAP_BYTES = 10 * PAGE_SIZE;
const MAX_SWAP_BYTES = MAX_SWAP_SLOTS * PAGE_SIZE;

/** The host's memory; what was never written is zeroes. */
class MemorySwapDevice implements SwapDevice {
  readonly bytes: number;
  private readonly chunks: (Uint8Array | undefined)[] = [];

  constructor(bytes: number) {
    this.bytes = bytes;
  }

  readPage(offset: number, memory: Uint8Array, at: number): number {
    const chunk = this.chunks[Math.floor(offset / CHUNK_PAGES)];
    const start = (offset % CHUNK_PAGES) * PAGE_SIZE;
    if (chunk === undefined) memory.fill(0, at, at + PAGE_SIZE);
    else memory.set(chunk.subarray(start, start + PAGE_SIZE), at);
    return 0;
  }

  writePage(offset: number, memory: Uint8Array, at: number): number {
    const index = Math.floor(offset / CHUNK_PAGES);
    const start = (offset % CHUNK_PAGES) * PAGE_SIZE;
    let chunk = this.chunks[index];
    if (chunk === undefined) {
      try {
        chunk = new Uint8Array(CHUNK_PAGES * PAGE_SIZE);
      } catch {
        return -EIO;
      }
      this.chunks[index] = chunk;
    }
    chunk.set(memory.subarray(at, at + PAGE_SIZE), start);
    return 0;
  }
}

/** FNV-1a over the words of a page; never 0, which stands for "never written". */
function checksum(memory: Uint8Array, at: number): number {
  const words = new Int32Array(memory.buffer, memory.byteOffset + at, PAGE_SIZE / 4);
  let sum = 0x811c9dc5;
  for (let i = 0; i < words.length; i++) sum = Math.imul(sum ^ words[i]!, 0x0100_0193);
  return sum === 0 ? 1 : sum;
}

/** Device and inode of each file that a machine of this process swaps to. */
const filesInUse = new Set<string>();

/** A file of the host. */
class FileSwapDevice implements SwapDevice {
  readonly bytes: number;
  private readonly fd: number;
  private readonly id: string;
  private readonly sums: Int32Array;

  constructor(fd: number, id: string, bytes: number) {
    this.fd = fd;
    this.id = id;
    this.bytes = bytes;
    this.sums = new Int32Array(bytes / PAGE_SIZE);
  }

  readPage(offset: number, memory: Uint8Array, at: number): number {
    try {
      if (readSync(this.fd, memory, at, PAGE_SIZE, offset * PAGE_SIZE) !== PAGE_SIZE) return -EIO;
    } catch {
      return -EIO;
    }
    const sum = this.sums[offset]!;
    return sum === 0 || sum === checksum(memory, at) ? 0 : -EIO;
  }

  writePage(offset: number, memory: Uint8Array, at: number): number {
    try {
      if (writeSync(this.fd, memory, at, PAGE_SIZE, offset * PAGE_SIZE) !== PAGE_SIZE) return -EIO;
    } catch {
      return -EIO;
    }
    this.sums[offset] = checksum(memory, at);
    return 0;
  }

  close(): void {
    filesInUse.delete(this.id);
    closeSync(this.fd);
  }
}

function checkedBytes(bytes: number, action: string): number {
  const whole = Math.floor(bytes / PAGE_SIZE) * PAGE_SIZE;
  if (whole >= MIN_SWAP_BYTES && whole <= MAX_SWAP_BYTES) return whole;
  throw new CowshedError(
    'ERR_SWAP_SIZE',
    `Cannot ${action}: it has ${bytes} bytes, want ${MIN_SWAP_BYTES} to ${MAX_SWAP_BYTES}`,
  );
}

interface OpenedFile {
  readonly fd: number;
  readonly created: boolean;
}

function openFile(path: string, action: string): OpenedFile {
  const { O_RDWR, O_CREAT, O_EXCL } = constants;
  try {
    const created = !existsSync(path);
    return { fd: openSync(path, created ? O_RDWR | O_CREAT | O_EXCL : O_RDWR, 0o600), created };
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new CowshedError('ERR_SWAP_FILE', `Cannot ${action}: ${text}`, error);
  }
}

/** Bytes of the area that an open file is, or is to become. @throws CowshedError */
function areaBytes(size: number, bytes: number | undefined, action: string): number {
  if (size === 0 && bytes === undefined) {
    throw new CowshedError('ERR_SWAP_SIZE', `Cannot ${action}: it is empty, and no size is given`);
  }
  const whole = checkedBytes(bytes ?? size, action);
  // An area that was made here has whole pages, whatever size was asked for.
  if (size !== 0 && size !== bytes && size !== whole && bytes !== undefined) {
    const message = `Cannot ${action}: it has ${size} bytes, not ${bytes}`;
    throw new CowshedError('ERR_SWAP_SIZE', message);
  }
  return whole;
}

/** Takes an existing swap area as it is; makes an empty file one. */
function useSwapFile(fd: number, bytes: number | undefined, action: string): FileSwapDevice {
  const stat = fstatSync(fd, { bigint: true });
  if (!stat.isFile()) throw errnoError(-EINVAL, action, 'it is no regular file');
  const id = `${stat.dev}:${stat.ino}`;
  if (filesInUse.has(id)) throw errnoError(-EBUSY, action, 'it is swapped to already');
  const empty = stat.size === 0n;
  const size = areaBytes(Number(stat.size), bytes, action);
  if (empty) ftruncateSync(fd, size);
  const device = new FileSwapDevice(fd, id, size);
  if (empty && writeSwapHeader(device) !== 0)
    throw errnoError(-EIO, action, 'it cannot be written');
  filesInUse.add(id);
  return device;
}

/** Leaves no new file behind when it cannot be used. */
function openSwapFile({ file, bytes }: SwapFile): FileSwapDevice {
  const action = `swap to "${file}"`;
  const { fd, created } = openFile(file, action);
  try {
    return useSwapFile(fd, bytes, action);
  } catch (error) {
    closeSync(fd);
    if (created) rmSync(file, { force: true });
    throw error;
  }
}

function openSwap(spec: SwapSpec): MemorySwapDevice | FileSwapDevice {
  if (typeof spec !== 'number') {
    // What callers without types pass is not one of the two.
    if (typeof (spec as SwapFile | null)?.file === 'string') return openSwapFile(spec);
    throw errnoError(-EINVAL, 'swap', 'want a number of bytes, or a file');
  }
  const device = new MemorySwapDevice(checkedBytes(spec, 'swap to memory'));
  writeSwapHeader(device);
  return device;
}

/** The areas a machine starts with. */
export class SwapAreas {
  private readonly devices: (MemorySwapDevice | FileSwapDevice)[] = [];

  /**
   * Opens every area, makes its node in /dev and switches it on.
   * @throws CowshedError for a size or a file that cannot be used; nothing stays open.
   */
  constructor(pgdat: PgData, tree: GuestTree, specs: readonly SwapSpec[]) {
    try {
      if (specs.length > MAX_SWAPFILES) {
        throw errnoError(-EINVAL, 'swap', `there are ${specs.length} areas, want ${MAX_SWAPFILES}`);
      }
      for (const spec of specs) this.add(pgdat, tree, spec);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  private add(pgdat: PgData, tree: GuestTree, spec: SwapSpec): void {
    const minor = this.devices.length;
    const device = openSwap(spec);
    this.devices.push(device);
    const name = addSwapDevice(tree.dev.root, minor, device);
    const err = doSwapon(pgdat, device, `/dev/${name}`, 0);
    if (err === 0) return;
    const what = typeof spec === 'number' ? 'to memory' : `to "${spec.file}"`;
    throw errnoError(err, `swap ${what}`, 'it is not empty, and no swap area');
  }

  /** Gives the host's memory and files back. */
  close(): void {
    for (const device of this.devices) if (device instanceof FileSwapDevice) device.close();
    this.devices.length = 0;
  }
}

/** The option as a list. */
export function swapSpecs(swap: SwapSpec | readonly SwapSpec[] | undefined): readonly SwapSpec[] {
  if (swap === undefined) return [];
  return Array.isArray(swap) ? (swap as readonly SwapSpec[]) : [swap as SwapSpec];
}
