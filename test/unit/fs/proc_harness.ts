/** A kernel with /proc mounted and tasks without a processor: what the procfs tests are built from. */

import { vfsOpen } from '../../../src/fs/open.ts';
import {
  type Dentry,
  FdTable,
  FsStruct,
  Path,
  Vfs,
  type File,
  type FsContext,
} from '../../../src/fs/fs_types.ts';
import { LOOKUP_DIRECTORY, pathLookup } from '../../../src/fs/namei.ts';
import { vfsMkdir } from '../../../src/fs/namei_create.ts';
import { createDebugfs } from '../../../src/fs/proc/debugfs.ts';
import { createProcfs } from '../../../src/fs/proc/root.ts';
import { createSysfs } from '../../../src/fs/proc/sysfs.ts';
import { AT_POS, vfsRead, vfsWrite } from '../../../src/fs/read_write.ts';
import { mountFs } from '../../../src/fs/super.ts';
import { createTmpfs } from '../../../src/fs/tmpfs.ts';
import { Kernel } from '../../../src/kernel/kernel.ts';
import { initialRlimits } from '../../../src/kernel/sys.ts';
import {
  ROOT_CRED,
  SIGACTION_WORDS,
  SighandStruct,
  Task,
  type Cred,
} from '../../../src/kernel/task.ts';
import { dupMm, mmAlloc } from '../../../src/mm/fork.ts';
import { iovKernel } from '../../../src/mm/iov_iter.ts';
import { MMF_COW_PTE } from '../../../src/mm/mm_struct.ts';
import { AT_FDCWD, O_RDONLY } from '../../../src/uapi/fcntl.ts';
import { NSIG } from '../../../src/uapi/signal.ts';
import { testPgData } from '../mm/harness.ts';

/** An ordinary user. */
export const USER: Cred = {
  uid: 1000,
  euid: 1000,
  suid: 1000,
  fsuid: 1000,
  gid: 1000,
  egid: 1000,
  sgid: 1000,
  fsgid: 1000,
  groups: [1000],
};

export interface ProcMachine {
  readonly kernel: Kernel;
  readonly vfs: Vfs;
  readonly fs: FsStruct;
}

export function bootProc(): ProcMachine {
  const pgdat = testPgData(32);
  const kernel = new Kernel(pgdat.ram, pgdat, {
    hostname: 'test',
    cowPte: true,
    randomSeed: 1,
    virtualTime: false,
  });
  const vfs = new Vfs(pgdat, {
    now: () => ({ sec: 1, nsec: 0 }),
    random: (buffer) => kernel.random.fill(buffer),
  });
  const mount = mountFs(vfs, createTmpfs(vfs, 'tmpfs', 0o755), null, 'tmpfs', 0);
  if (typeof mount === 'number') throw new Error('no root');
  const root = new Path(mount, mount.root);
  const machine = { kernel, vfs, fs: new FsStruct(root, root, 0o022) };
  mountAt(machine, '/proc', createProcfs(vfs, kernel), 'proc');
  mountAt(machine, '/sys', createSysfs(vfs, kernel), 'sysfs');
  mountAt(machine, '/sys/kernel/debug', createDebugfs(vfs, kernel), 'debugfs');
  return machine;
}

function mountAt({ vfs, fs }: ProcMachine, at: string, root: Dentry, source: string): void {
  const ctx = { fs, files: null, cred: ROOT_CRED };
  vfsMkdir(ctx, AT_FDCWD, at, 0o755);
  const path = pathLookup(ctx, AT_FDCWD, at, LOOKUP_DIRECTORY);
  if (typeof path === 'number') throw new Error(`lookup gave ${path}`);
  mountFs(vfs, root, path, source, 0);
}

/** A new process with an empty address space. */
export function newTask(
  machine: ProcMachine,
  options: { comm?: string; cred?: Cred; parent?: Task; mm?: Task['mm'] } = {},
): Task {
  const { kernel, fs } = machine;
  const pid = kernel.allocPid();
  const limits = initialRlimits(kernel.maxTasks);
  const mm = options.mm ?? mmAlloc(kernel.pgdat, limits)!;
  if (options.mm === undefined) mm.flags |= MMF_COW_PTE;
  const sighand = new SighandStruct(new Int32Array(NSIG * SIGACTION_WORDS), false);
  const task = new Task(pid, pid, kernel.runQueue, undefined, options.parent ?? null, {
    mm,
    files: new FdTable(),
    fs: fs.clone(),
    sighand,
    signal: null,
    cred: options.cred ?? ROOT_CRED,
    comm: options.comm ?? 'test',
    exitSignal: 17,
    limits,
  });
  kernel.tasks.set(pid, task);
  return task;
}

/** A child whose address space is a fork of the parent's. */
export function forkTask(machine: ProcMachine, parent: Task): Task {
  const mm = dupMm(parent.mm!);
  if (mm === null) throw new Error('no memory for a fork');
  return newTask(machine, { parent, mm, cred: parent.cred });
}

/** Opens as `ctx`. @returns the file or -errno. */
export function open(ctx: FsContext, path: string, flags = O_RDONLY): File | number {
  return vfsOpen(ctx, AT_FDCWD, path, { flags, mode: 0, resolve: 0 });
}

export function mustOpen(ctx: FsContext, path: string, flags = O_RDONLY): File {
  const file = open(ctx, path, flags);
  if (typeof file === 'number') throw new Error(`open ${path} gave ${file}`);
  return file;
}

/** Text of a link, or -errno. */
export function readlink(ctx: FsContext, path: string): string | number {
  const found = pathLookup(ctx, AT_FDCWD, path, 0);
  if (typeof found === 'number') return found;
  const { inode } = found.dentry;
  return inode.iOps.readLink?.(found.dentry) ?? inode.link;
}

/** Reads `n` bytes at the file's position. @returns text or -errno. */
export function read(file: File, n = 65536, at = AT_POS): string | number {
  const buffer = Buffer.alloc(n);
  const got = vfsRead(file, iovKernel(buffer), at);
  return got < 0 ? got : buffer.toString('latin1', 0, got);
}

/** The whole of a file. */
export function cat(ctx: FsContext, path: string): string {
  const file = mustOpen(ctx, path);
  let text = '';
  for (;;) {
    const part = read(file);
    if (typeof part === 'number') throw new Error(`read ${path} gave ${part}`);
    if (part === '') break;
    text += part;
  }
  file.putFile();
  return text;
}

/** @returns bytes written or -errno. */
export function write(file: File, text: string): number {
  return vfsWrite(file, iovKernel(Buffer.from(text, 'latin1')), AT_POS);
}

/** Names in a directory, read `batch` at a time as getdents() does. */
export function list(ctx: FsContext, path: string, batch = 1000): string[] {
  const file = mustOpen(ctx, path);
  const names: string[] = [];
  for (;;) {
    let room = batch;
    const before = names.length;
    const err = file.fOps.iterate!(file, (name) => {
      if (room-- === 0) return false;
      names.push(name);
      return true;
    });
    if (err !== 0) throw new Error(`getdents gave ${err}`);
    if (names.length === before) break;
  }
  file.putFile();
  return names;
}

/** The number of a row of status, meminfo or smaps. */
export function field(text: string, name: string): number {
  const match = new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text);
  if (match === null) throw new Error(`no row ${name} in ${text}`);
  return Number(match[1]);
}
