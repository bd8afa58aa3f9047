/** A mount tree without tasks: what the file system tests are built from. */

import { Ram } from '../../../src/arch/riscv/ram.ts';
import { devfsSetup } from '../../../src/fs/devfs.ts';
import {
  FdTable,
  type File,
  FsStruct,
  Path,
  Vfs,
  type Dentry,
  type FsContext,
  type FsCred,
} from '../../../src/fs/fs_types.ts';
import { pathLookup, LOOKUP_FOLLOW } from '../../../src/fs/namei.ts';
import { vfsMkdir } from '../../../src/fs/namei_create.ts';
import { vfsOpen } from '../../../src/fs/open.ts';
import { AT_POS, vfsRead, vfsWrite } from '../../../src/fs/read_write.ts';
import { mountFs } from '../../../src/fs/super.ts';
import { createTmpfs } from '../../../src/fs/tmpfs.ts';
import { iovKernel } from '../../../src/mm/iov_iter.ts';
import { createPgData } from '../../../src/mm/mm_init.ts';
import { AT_FDCWD, O_CREAT, O_RDWR } from '../../../src/uapi/fcntl.ts';

const MIB = 1024 * 1024;

export interface TestTree {
  vfs: Vfs;
  ctx: FsContext & { files: FdTable };
}

export const ROOT: FsCred = { fsuid: 0, fsgid: 0, groups: [] };
export const USER: FsCred = { fsuid: 1000, fsgid: 1000, groups: [1000] };

/** A machine's fs/ state, with a clock that ticks a second at each look. */
export function testVfs(mib = 16): Vfs {
  const pgdat = createPgData(new Ram(mib * MIB));
  let sec = 1000;
  return new Vfs(pgdat, {
    now: () => ({ sec: sec++, nsec: 7 }),
    random: (buffer) => buffer.fill(4),
  });
}

/** A tree with `root` as its root, or an empty tmpfs; /dev is there. */
export function testTree(vfs = testVfs(), root?: Dentry | number): TestTree {
  if (typeof root === 'number') throw new Error(`no root: ${root}`);
  const mount = mountFs(vfs, root ?? createTmpfs(vfs, 'tmpfs', 0o755), null, 'none', 0);
  if (typeof mount === 'number') throw new Error('no mount');
  const path = new Path(mount, mount.root);
  const ctx = { fs: new FsStruct(path, path, 0o022), files: new FdTable(), cred: ROOT };
  const dev = devfsSetup(vfs);
  vfsMkdir(ctx, AT_FDCWD, '/dev', 0o755);
  const at = pathLookup(ctx, AT_FDCWD, '/dev', LOOKUP_FOLLOW);
  if (typeof at !== 'number') mountFs(vfs, dev, at, 'devtmpfs', 0);
  return { vfs, ctx };
}

export function asUser(tree: TestTree): FsContext {
  return { ...tree.ctx, cred: USER };
}

export function open(ctx: FsContext, path: string, flags: number, mode = 0o644): File | number {
  return vfsOpen(ctx, AT_FDCWD, path, { flags, mode, resolve: 0 });
}

/** Opens what must be there. */
export function mustOpen(ctx: FsContext, path: string, flags: number, mode = 0o644): File {
  const file = open(ctx, path, flags, mode);
  if (typeof file === 'number') throw new Error(`open ${path}: ${file}`);
  return file;
}

export function write(file: File, text: string, at = AT_POS): number {
  return vfsWrite(file, iovKernel(Buffer.from(text, 'latin1')), at);
}

/** Text read, or -errno. */
export function read(file: File, bytes: number, at = AT_POS): string | number {
  const buffer = Buffer.alloc(bytes);
  const n = vfsRead(file, iovKernel(buffer), at);
  return n < 0 ? n : buffer.toString('latin1', 0, n);
}

export function writeFile(ctx: FsContext, path: string, text: string): void {
  const file = mustOpen(ctx, path, O_RDWR | O_CREAT);
  write(file, text);
  file.putFile();
}

export function readFile(ctx: FsContext, path: string): string | number {
  const file = open(ctx, path, 0);
  if (typeof file === 'number') return file;
  const text = read(file, 1 << 16);
  file.putFile();
  return text;
}

/** Names of a directory without "." and "..". */
export function list(ctx: FsContext, path: string): string[] {
  const dir = mustOpen(ctx, path, 0);
  const names: string[] = [];
  const err = dir.fOps.iterate!(dir, (name) => names.push(name) > 0);
  if (err < 0) throw new Error(`list ${path}: ${err}`);
  dir.putFile();
  return names.slice(2);
}

export function lookup(ctx: FsContext, path: string, flags = LOOKUP_FOLLOW): Path | number {
  return pathLookup(ctx, AT_FDCWD, path, flags);
}
