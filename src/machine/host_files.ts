/** The embedder's access to the guest's files. */

import { FsStruct, type File, type FsContext, type FsCred, type Vfs } from '../fs/fs_types.ts';
import { LOOKUP_DIRECTORY, LOOKUP_FOLLOW, pathLookup } from '../fs/namei.ts';
import { vfsOpen } from '../fs/open.ts';
import { kernelRead } from '../kernel/binfmt.ts';
import { iovKernel } from '../mm/iov_iter.ts';
import { EACCES, EISDIR } from '../uapi/errno.ts';
import { AT_FDCWD, O_CREAT, O_NONBLOCK, O_RDONLY, O_TRUNC, O_WRONLY } from '../uapi/fcntl.ts';
import { isDir } from '../uapi/stat.ts';
import { errnoError } from './errors.ts';
import { bytesOf, mkdirAll } from './root_fs.ts';

/** Bytes read or written at a time. */
const CHUNK = 1 << 20;

export class HostFiles {
  /** Root's rights, working directory /. */
  readonly context: FsContext;
  readonly vfs: Vfs;

  constructor(vfs: Vfs, context: FsContext) {
    this.vfs = vfs;
    this.context = context;
  }

  private open(path: string, flags: number, mode: number, action: string): File {
    const how = { flags: flags | O_NONBLOCK, mode, resolve: 0 };
    const file = vfsOpen(this.context, AT_FDCWD, bytesOf(path), how);
    if (typeof file === 'number') throw errnoError(file, `${action} "${path}"`);
    return file;
  }

  /** @throws CowshedError ENOENT, EISDIR... */
  readFile(path: string): Uint8Array {
    const file = this.open(path, O_RDONLY, 0, 'read');
    try {
      if (isDir(file.inode.mode)) throw errnoError(-EISDIR, `read "${path}"`);
      const chunks: Uint8Array[] = [];
      for (let pos = 0; ; ) {
        const chunk = new Uint8Array(CHUNK);
        const n = kernelRead(file, chunk, pos);
        if (n < 0) throw errnoError(n, `read "${path}"`);
        chunks.push(chunk.subarray(0, n));
        pos += n;
        if (n < CHUNK) return Buffer.concat(chunks);
      }
    } finally {
      file.putFile();
    }
  }

  /** @throws CowshedError ENOENT, EISDIR, ENOSPC, EROFS... */
  writeFile(path: string, data: Uint8Array, mode: number): void {
    const file = this.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode, 'write');
    try {
      const ops = file.fOps;
      if (ops.write === undefined) throw errnoError(-EACCES, `write "${path}"`);
      for (let pos = 0; pos < data.length; ) {
        const part = data.subarray(pos, pos + CHUNK);
        const n = ops.write(file, iovKernel(part), pos);
        if (n <= 0) throw errnoError(n, `write "${path}"`);
        pos += n;
      }
    } finally {
      file.putFile();
    }
  }

  mkdir(path: string, mode: number): void {
    mkdirAll(this.context, bytesOf(path), mode);
    // What exists may be something else.
    this.workingDirectory(path, this.context.cred);
  }

  /** Root and working directory of a new program. @throws CowshedError ENOENT, ENOTDIR, EACCES. */
  workingDirectory(cwd: string, cred: FsCred): FsStruct {
    const { fs } = this.context;
    const ctx = { fs, files: null, cred };
    const pwd = pathLookup(ctx, AT_FDCWD, bytesOf(cwd), LOOKUP_FOLLOW | LOOKUP_DIRECTORY);
    if (typeof pwd === 'number') throw errnoError(pwd, `use working directory "${cwd}"`);
    return new FsStruct(fs.root, pwd, 0o022);
  }

  /** Frames that hold cached and in-memory files. */
  cachedPages(): number {
    let pages = 0;
    for (const sb of this.vfs.superBlocks) {
      for (const { cache } of sb.caches)
        if (cache !== null) pages += cache.pages.size - cache.swapped;
    }
    return pages;
  }
}
