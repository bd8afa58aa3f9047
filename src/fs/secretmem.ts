/** memfd_secret()'s files: they can be sized once and mapped, not read or written. @linux mm/secretmem.c */

import { MAX_LFS_FILESIZE } from '../mm/address_space.ts';
import { secretmemMmap, secretmemRelease, UserStruct, type SecretmemOps } from '../mm/secretmem.ts';
import { EFBIG, EINVAL } from '../uapi/errno.ts';
import { O_LARGEFILE, O_RDWR } from '../uapi/fcntl.ts';
import { S_IFREG } from '../uapi/stat.ts';
import { SECRETMEM_MAGIC } from '../uapi/statfs.ts';
import {
  Dentry,
  File,
  Inode,
  inodeMapping,
  Path,
  type FileOps,
  type FsCred,
  type InodeOps,
  type Mount,
  type Vfs,
} from './fs_types.ts';
import { touchMtime } from './inode.ts';
import { kernMount } from './super.ts';

const secretmemFileOps: FileOps = {
  mmap: (_file, vma) => secretmemMmap(vma),
  release: (file) => {
    secretmemRelease(file.mapping);
  },
};

/** Only a file that has no size yet gets one. @returns 0, -EINVAL or -EFBIG. @linux mm/secretmem.c:secretmem_setattr */
function setSize(inode: Inode, size: number): number {
  if (inode.size !== 0) return -EINVAL;
  if (size > MAX_LFS_FILESIZE) return -EFBIG;
  inode.size = size;
  touchMtime(inode);
  return 0;
}

const secretmemInodeOps: InodeOps = { setSize, mayChange: true };

/** The mount that the files are in; it is nowhere in the tree. */
function secretmemMount(vfs: Vfs): Mount {
  vfs.secretmemMount ??= kernMount(vfs, 'secretmem', SECRETMEM_MAGIC);
  return vfs.secretmemMount;
}

/** What the real user `uid` has locked through files like these. */
function userStruct(vfs: Vfs, uid: number): UserStruct {
  let user = vfs.users.get(uid);
  if (user === undefined) {
    user = new UserStruct();
    vfs.users.set(uid, user);
  }
  return user;
}

/**
 * An empty file with one reference, charged to `uid`.
 * @linux mm/secretmem.c:secretmem_file_create
 */
export function secretmemFileCreate(vfs: Vfs, uid: number, cred: FsCred): File {
  const mount = secretmemMount(vfs);
  const inode = new Inode(mount.sb, S_IFREG | 0o600, secretmemInodeOps, secretmemFileOps);
  inode.nlink = 0;
  inode.uid = cred.fsuid;
  inode.gid = cred.fsgid;
  const user = userStruct(vfs, uid);
  const ops: SecretmemOps = { user, accounted: 0, size: () => inode.size };
  inodeMapping(inode, ops, false).unevictable = true;
  const dentry = new Dentry(mount.sb, mount.root, '/secretmem (deleted)', inode);
  dentry.unhashed = true;
  return new File(new Path(mount, dentry), O_RDWR | O_LARGEFILE, secretmemFileOps);
}
