/**
 * Shared anonymous memory: an unnamed file of fixed size whose pages live only in its cache.
 *
 * @linux mm/shmem.c:shmem_zero_setup
 */

import { AddressSpace, type PgData, type VmFile } from './mm_types.ts';
import { destroyMapping, truncatePagecacheRange } from './truncate.ts';

/** Device number that Linux prints for shared anonymous mappings: 00:01. */
const SHMEM_DEV = 1;

class ShmemFile implements VmFile {
  readonly mapping: AddressSpace;
  readonly dev = SHMEM_DEV;
  readonly ino: number;
  readonly anonShmem = true;
  private readonly name: string;
  private refs = 1;

  constructor(pgdat: PgData, name: string, bytes: number) {
    this.mapping = new AddressSpace(pgdat, { size: () => bytes }, true);
    this.ino = this.mapping.id >> 1;
    this.name = name;
  }

  getFile(): void {
    this.refs++;
  }

  putFile(): void {
    if (--this.refs === 0) destroyMapping(this.mapping);
  }

  punchHole(start: number, end: number): number {
    truncatePagecacheRange(this.mapping, start, end);
    return 0;
  }

  mapsName(): string {
    return this.name;
  }
}

/**
 * An unlinked file of `bytes` bytes with one reference for the caller.
 * @param name as /proc/PID/maps prints it, e.g. `/dev/zero (deleted)`.
 */
export function shmemFileSetup(pgdat: PgData, name: string, bytes: number): VmFile {
  return new ShmemFile(pgdat, name, bytes);
}
