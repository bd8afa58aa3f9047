/**
 * /proc/sys: what sysctl shows. Values are those the kernel works with; only the names of
 * the machine can be set.
 *
 * @linux fs/proc/proc_sysctl.c, kernel/sysctl.c
 */

import type { Kernel } from '../../kernel/kernel.ts';
import { compactZone } from '../../mm/compaction.ts';
import { dropPagecache } from '../../mm/drop_caches.ts';
import { MAX_MAP_COUNT, MMAP_MIN_ADDR } from '../../mm/mmap_limits.ts';
import { setMinFreeKbytes } from '../../mm/page_alloc.ts';
import { EINVAL } from '../../uapi/errno.ts';
import type { Dentry } from '../fs_types.ts';
import { PIPE_MAX_BYTES } from '../pipe.ts';
import {
  parseInteger,
  procCreate,
  procCreateText,
  procCreateValues,
  procMkdir,
  seqFileOps,
} from './generic.ts';

/** Supplementary groups a process may have. @linux NGROUPS_MAX */
const NGROUPS_MAX = 65_536;
const PID_MAX = 32_768;
/** CAP_CHECKPOINT_RESTORE. */
const CAP_LAST_CAP = 40;
/** Largest RLIMIT_NOFILE. Linux's default (fs.nr_open). */
const NR_OPEN = 1_048_576;
/** LONG_MAX: open files are not limited machine-wide. */
const FILE_MAX = '9223372036854775807';
/** Bits in the random pool, always full. @linux drivers/char/random.c:POOL_READY_BITS */
const ENTROPY_BITS = 256;
/** Longest backlog of listen(). Linux's default (net.core.somaxconn). */
const SOMAXCONN = 4096;
/** Longest host or domain name. @linux __NEW_UTS_LEN */
const UTS_LEN = 64;

/** A version 4 UUID. @linux lib/uuid.c:generate_random_uuid */
function randomUuid(kernel: Kernel): string {
  const bytes = new Uint8Array(16);
  kernel.random.fill(bytes);
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Buffer.from(bytes).toString('hex');
  const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20)];
  return `${parts.join('-')}-${hex.slice(20)}`;
}

/** A name of the machine that root can set. @linux kernel/utsname_sysctl.c:proc_do_uts_string */
function utsFile(
  kernel: Kernel,
  dir: Dentry,
  name: string,
  field: 'nodename' | 'domainname',
): void {
  const show = (): string => `${kernel.uts[field]}\n`;
  const store = (_file: unknown, text: string): number => {
    const value = text.split(/[\0\n]/, 1)[0]!;
    if (value.length > UTS_LEN) return -EINVAL;
    kernel.uts[field] = value;
    return text.length;
  };
  procCreate(dir, name, 0o644, seqFileOps(show, store));
}

function kernelTable(kernel: Kernel, sys: Dentry): void {
  const dir = procMkdir(sys, 'kernel');
  const { uts } = kernel;
  utsFile(kernel, dir, 'hostname', 'nodename');
  utsFile(kernel, dir, 'domainname', 'domainname');
  procCreateValues(dir, {
    ostype: uts.sysname,
    osrelease: uts.release,
    version: uts.version,
    ngroups_max: NGROUPS_MAX,
    pid_max: PID_MAX,
    cap_last_cap: CAP_LAST_CAP,
    'threads-max': kernel.maxTasks,
    core_pattern: 'core',
    core_uses_pid: 0,
    randomize_va_space: 0,
    tainted: 0,
  });
  const random = procMkdir(dir, 'random');
  procCreateValues(random, {
    boot_id: randomUuid(kernel),
    entropy_avail: ENTROPY_BITS,
    poolsize: ENTROPY_BITS,
  });
  procCreateText(random, 'uuid', () => `${randomUuid(kernel)}\n`);
}

/** A number between bounds that root can set. @linux kernel/sysctl.c:proc_dointvec_minmax */
function numberFile(
  dir: Dentry,
  name: string,
  [min, max]: readonly [number, number],
  get: () => number,
  set: (value: number) => void,
): void {
  const store = (_file: unknown, text: string): number => {
    const value = parseInteger(text);
    if (value === null || value < min || value > max) return -EINVAL;
    set(value);
    return text.length;
  };
  procCreate(
    dir,
    name,
    0o644,
    seqFileOps(() => `${get()}\n`, store),
  );
}

/** Most that vm.swappiness may be: file pages are then never preferred. @linux mm/vmscan.c:MAX_SWAPPINESS */
const MAX_SWAPPINESS = 200;
const INT_MAX = 0x7fff_ffff;
/** Bits of vm.drop_caches: page cache; slab objects; quietly. */
const DROP_PAGECACHE = 1;
const DROP_CACHES_MAX = 4;

function vmTable(kernel: Kernel, sys: Dentry): void {
  const { pgdat } = kernel;
  const dir = procMkdir(sys, 'vm');
  procCreateValues(dir, {
    overcommit_memory: 0,
    overcommit_ratio: 50,
    mmap_min_addr: MMAP_MIN_ADDR,
    max_map_count: MAX_MAP_COUNT,
    // One page is read from swap at a time.
    'page-cluster': 0,
  });
  const swappiness = (value: number): void => {
    pgdat.swappiness = value;
  };
  numberFile(dir, 'swappiness', [0, MAX_SWAPPINESS], () => pgdat.swappiness, swappiness);
  const minFree = (value: number): void => setMinFreeKbytes(pgdat, value);
  numberFile(dir, 'min_free_kbytes', [0, INT_MAX], () => pgdat.minFreeKbytes, minFree);
  numberFile(
    dir,
    'compact_memory',
    [1, 1],
    () => 0,
    () => compactZone(pgdat),
  );
  let dropped = 0;
  numberFile(
    dir,
    'drop_caches',
    [1, DROP_CACHES_MAX],
    () => dropped,
    (value) => {
      dropped = value;
      if ((value & DROP_PAGECACHE) !== 0) dropPagecache(pgdat);
    },
  );
}

/** Builds /proc/sys. */
export function procSysInit(kernel: Kernel, root: Dentry): void {
  const sys = procMkdir(root, 'sys');
  kernelTable(kernel, sys);
  vmTable(kernel, sys);
  const fs = procMkdir(sys, 'fs');
  procCreateValues(fs, {
    'file-max': FILE_MAX,
    nr_open: NR_OPEN,
    'pipe-max-size': PIPE_MAX_BYTES,
    suid_dumpable: 0,
  });
  const net = procMkdir(sys, 'net');
  procCreateValues(procMkdir(net, 'core'), { somaxconn: SOMAXCONN });
}
