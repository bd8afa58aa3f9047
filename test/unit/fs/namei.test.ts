import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { absolutePath } from '../../../src/fs/fs_types.ts';
import { vfsLink, vfsMkdir, vfsMknod, vfsSymlink } from '../../../src/fs/namei_create.ts';
import { vfsRename, vfsRmdir, vfsUnlink } from '../../../src/fs/namei_remove.ts';
import { vfsOpen } from '../../../src/fs/open.ts';
import {
  EACCES,
  EBUSY,
  EEXIST,
  EINVAL,
  EISDIR,
  ELOOP,
  ENAMETOOLONG,
  ENOENT,
  ENOTDIR,
  ENOTEMPTY,
  EPERM,
  EXDEV,
} from '../../../src/uapi/errno.ts';
import {
  AT_FDCWD,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDWR,
  O_TMPFILE,
  O_WRONLY,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  RESOLVE_BENEATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_SYMLINKS,
} from '../../../src/uapi/fcntl.ts';
import { S_IFIFO } from '../../../src/uapi/stat.ts';
import {
  asUser,
  list,
  lookup,
  mustOpen,
  open,
  readFile,
  testTree,
  write,
  writeFile,
} from './harness.ts';

function mkdir(ctx: Parameters<typeof vfsMkdir>[0], path: string): number {
  return vfsMkdir(ctx, AT_FDCWD, path, 0o777);
}

function symlink(ctx: Parameters<typeof vfsMkdir>[0], target: string, path: string): number {
  return vfsSymlink(ctx, target, AT_FDCWD, path);
}

function rename(ctx: Parameters<typeof vfsMkdir>[0], from: string, to: string, flags = 0): number {
  return vfsRename(ctx, AT_FDCWD, from, AT_FDCWD, to, flags);
}

function pathOf(ctx: Parameters<typeof lookup>[0], path: string): string | number {
  const found = lookup(ctx, path);
  return typeof found === 'number' ? found : absolutePath(found);
}

describe('pathLookup()', () => {
  it('stays at the root however many ".." there are', () => {
    const { ctx } = testTree();
    mkdir(ctx, '/a');
    assert.equal(pathOf(ctx, '/../../a/../../..'), '/');
    assert.equal(pathOf(ctx, '../../../a'), '/a');
  });

  it('keeps a process with another root below it, through links too', () => {
    const { ctx } = testTree();
    mkdir(ctx, '/jail');
    mkdir(ctx, '/jail/bin');
    writeFile(ctx, '/secret', 'x');
    symlink(ctx, '/secret', '/jail/abs');
    symlink(ctx, '../../../secret', '/jail/bin/rel');
    const jail = lookup(ctx, '/jail');
    assert.ok(typeof jail !== 'number');
    ctx.fs.root = jail;
    ctx.fs.pwd = jail;
    assert.equal(lookup(ctx, '/abs'), -ENOENT);
    assert.equal(lookup(ctx, '/bin/rel'), -ENOENT);
    assert.equal(lookup(ctx, '/../secret'), -ENOENT);
    assert.equal(pathOf(ctx, '/bin/../..'), '/jail');
  });

  it('gives ELOOP for a link to itself and after 40 links', () => {
    const { ctx } = testTree();
    symlink(ctx, 'self', '/self');
    symlink(ctx, 'b', '/a');
    symlink(ctx, 'a', '/b');
    assert.equal(lookup(ctx, '/self'), -ELOOP);
    assert.equal(lookup(ctx, '/a/x'), -ELOOP);
    mkdir(ctx, '/end');
    symlink(ctx, 'end', '/l1');
    for (let i = 2; i <= 41; i++) symlink(ctx, `l${i - 1}`, `/l${i}`);
    assert.equal(pathOf(ctx, '/l40'), '/end');
    assert.equal(lookup(ctx, '/l41'), -ELOOP);
  });

  it('follows a link in the middle and comes back for the rest', () => {
    const { ctx } = testTree();
    mkdir(ctx, '/a');
    mkdir(ctx, '/a/b');
    symlink(ctx, 'a/b/', '/s');
    symlink(ctx, '/s/..', '/t');
    assert.equal(pathOf(ctx, '/s/../b'), '/a/b');
    assert.equal(pathOf(ctx, '/t/b/'), '/a/b');
    assert.equal(pathOf(ctx, '//t///b//.'), '/a/b');
  });

  it('tells ENOTDIR, ENOENT and ENAMETOOLONG apart', () => {
    const { ctx } = testTree();
    writeFile(ctx, '/f', '');
    assert.equal(lookup(ctx, '/f/x'), -ENOTDIR);
    assert.equal(lookup(ctx, '/f/'), -ENOTDIR);
    assert.equal(lookup(ctx, '/f/..'), -ENOTDIR);
    assert.equal(lookup(ctx, '/nothing/x'), -ENOENT);
    assert.equal(lookup(ctx, ''), -ENOENT);
    assert.equal(lookup(ctx, `/${'n'.repeat(255)}`), -ENOENT);
    assert.equal(lookup(ctx, `/${'n'.repeat(256)}`), -ENAMETOOLONG);
    assert.equal(lookup(ctx, '/'.repeat(4096)), -ENAMETOOLONG);
    assert.equal(pathOf(ctx, '/'.repeat(4095)), '/');
  });

  it('asks for search permission on every directory', () => {
    const tree = testTree();
    vfsMkdir(tree.ctx, AT_FDCWD, '/closed', 0o700);
    writeFile(tree.ctx, '/closed/f', 'x');
    assert.equal(lookup(asUser(tree), '/closed/f'), -EACCES);
    assert.equal(readFile(tree.ctx, '/closed/f'), 'x');
  });

  it('keeps names as the bytes they are', () => {
    const { ctx } = testTree();
    const name = '/\xff\xfe\x01 \xc3';
    writeFile(ctx, name, 'bytes');
    assert.equal(readFile(ctx, name), 'bytes');
    assert.deepEqual(list(ctx, '/').includes(name.slice(1)), true);
  });
});

describe('open()', () => {
  it('makes a file once with O_EXCL, and not through a link', () => {
    const { ctx } = testTree();
    mustOpen(ctx, '/f', O_CREAT | O_EXCL | O_RDWR).putFile();
    assert.equal(open(ctx, '/f', O_CREAT | O_EXCL), -EEXIST);
    symlink(ctx, '/made', '/link');
    assert.equal(open(ctx, '/link', O_CREAT | O_EXCL), -EEXIST);
    mustOpen(ctx, '/link', O_CREAT | O_RDWR).putFile();
    assert.equal(pathOf(ctx, '/link'), '/made');
  });

  it('refuses links with O_NOFOLLOW, directories for writing, files as directories', () => {
    const { ctx } = testTree();
    mkdir(ctx, '/d');
    writeFile(ctx, '/f', '');
    symlink(ctx, '/f', '/l');
    assert.equal(open(ctx, '/l', O_NOFOLLOW), -ELOOP);
    assert.equal(open(ctx, '/d', O_WRONLY), -EISDIR);
    assert.equal(open(ctx, '/d', O_CREAT), -EISDIR);
    assert.equal(open(ctx, '/new/', O_CREAT), -EISDIR);
    assert.equal(open(ctx, '/f', O_DIRECTORY), -ENOTDIR);
    assert.equal(open(ctx, '/d', O_CREAT | O_DIRECTORY), -EINVAL);
  });

  it('applies permissions and the umask, and lets the maker of a file write it', () => {
    const tree = testTree();
    const user = asUser(tree);
    vfsMkdir({ ...tree.ctx, fs: tree.ctx.fs }, AT_FDCWD, '/open', 0o777);
    const dir = lookup(tree.ctx, '/open');
    assert.ok(typeof dir !== 'number');
    dir.dentry.inode.mode |= 0o777;
    const file = mustOpen(user, '/open/mine', O_CREAT | O_RDWR, 0o444);
    assert.equal(write(file, 'ok'), 2);
    assert.equal(file.inode.mode & 0o777, 0o444);
    assert.equal(file.inode.uid, 1000);
    assert.equal(open(user, '/open/mine', O_RDWR), -EACCES);
    assert.equal(open(user, '/f', O_CREAT), -EACCES);
    file.putFile();
  });

  it('gives a file without a name with O_TMPFILE, and its memory back at the end', () => {
    const { ctx, vfs } = testTree();
    const free = vfs.pgdat.freeFrames;
    const file = mustOpen(ctx, '/', O_TMPFILE | O_RDWR, 0o600);
    write(file, 'x'.repeat(10_000));
    assert.deepEqual(list(ctx, '/'), ['dev']);
    assert.equal(vfsLink(ctx, file.path, AT_FDCWD, '/named'), 0);
    file.putFile();
    assert.equal(vfsUnlink(ctx, AT_FDCWD, '/named'), 0);
    assert.equal(vfs.pgdat.freeFrames, free);
  });

  it('opens anything with O_PATH, but not to read it', () => {
    const { ctx } = testTree();
    writeFile(ctx, '/f', 'x');
    symlink(ctx, '/f', '/l');
    const link = mustOpen(ctx, '/l', O_PATH | O_NOFOLLOW);
    assert.equal(link.inode.link, '/f');
    assert.equal(link.fMode, 0);
    link.putFile();
  });

  it('honours RESOLVE_BENEATH, RESOLVE_IN_ROOT and RESOLVE_NO_SYMLINKS', () => {
    const { ctx } = testTree();
    mkdir(ctx, '/base');
    writeFile(ctx, '/base/f', 'in');
    writeFile(ctx, '/f', 'out');
    symlink(ctx, '/f', '/base/abs');
    const dir = mustOpen(ctx, '/base', O_PATH);
    const fd = ctx.files.alloc(dir, 0, false, 10);
    const tryOpen = (name: string, resolve: number): number => {
      const file = vfsOpen(ctx, fd, name, { flags: 0, mode: 0, resolve });
      if (typeof file === 'number') return file;
      file.putFile();
      return file.inode === (lookup(ctx, '/base/f') as { dentry: { inode: unknown } }).dentry.inode
        ? 1
        : 2;
    };
    assert.equal(tryOpen('../f', RESOLVE_BENEATH), -EXDEV);
    assert.equal(tryOpen('abs', RESOLVE_BENEATH), -EXDEV);
    assert.equal(tryOpen('f', RESOLVE_BENEATH), 1);
    assert.equal(tryOpen('../f', RESOLVE_IN_ROOT), 1);
    assert.equal(tryOpen('abs', RESOLVE_IN_ROOT), 1);
    assert.equal(tryOpen('abs', RESOLVE_NO_SYMLINKS), -ELOOP);
    assert.equal(tryOpen('../f', 0), 2);
  });
});

describe('unlink() and rmdir()', () => {
  it('keeps the bytes of an open file until it is closed', () => {
    const { ctx, vfs } = testTree();
    const free = vfs.pgdat.freeFrames;
    const file = mustOpen(ctx, '/f', O_CREAT | O_RDWR);
    write(file, 'still here');
    assert.equal(vfsUnlink(ctx, AT_FDCWD, '/f'), 0);
    assert.equal(lookup(ctx, '/f'), -ENOENT);
    assert.equal(file.inode.nlink, 0);
    assert.ok(vfs.pgdat.freeFrames < free);
    assert.equal(file.mapsName(), '/f (deleted)');
    file.putFile();
    assert.equal(vfs.pgdat.freeFrames, free);
  });

  it('gives the errno of Linux for each wrong kind', () => {
    const { ctx } = testTree();
    mkdir(ctx, '/d');
    mkdir(ctx, '/d/sub');
    writeFile(ctx, '/f', '');
    assert.equal(vfsUnlink(ctx, AT_FDCWD, '/d'), -EISDIR);
    assert.equal(vfsUnlink(ctx, AT_FDCWD, '/f/'), -ENOTDIR);
    assert.equal(vfsUnlink(ctx, AT_FDCWD, '/'), -EISDIR);
    assert.equal(vfsRmdir(ctx, AT_FDCWD, '/f'), -ENOTDIR);
    assert.equal(vfsRmdir(ctx, AT_FDCWD, '/d'), -ENOTEMPTY);
    assert.equal(vfsRmdir(ctx, AT_FDCWD, '/d/.'), -EINVAL);
    assert.equal(vfsRmdir(ctx, AT_FDCWD, '/d/..'), -ENOTEMPTY);
    assert.equal(vfsRmdir(ctx, AT_FDCWD, '/'), -EBUSY);
    assert.equal(vfsRmdir(ctx, AT_FDCWD, '/dev'), -EBUSY);
    assert.equal(vfsRmdir(ctx, AT_FDCWD, '/d/sub/'), 0);
    assert.equal(vfsRmdir(ctx, AT_FDCWD, '/d'), 0);
  });

  it('counts the links of directories', () => {
    const { ctx } = testTree();
    mkdir(ctx, '/d');
    const dir = lookup(ctx, '/d');
    assert.ok(typeof dir !== 'number');
    const { inode } = dir.dentry;
    mkdir(ctx, '/d/a');
    mkdir(ctx, '/d/b');
    assert.equal(inode.nlink, 4);
    vfsRmdir(ctx, AT_FDCWD, '/d/a');
    rename(ctx, '/d/b', '/b');
    assert.equal(inode.nlink, 2);
  });

  it('lets only owners take names out of a sticky directory', () => {
    const tree = testTree();
    mkdir(tree.ctx, '/tmp');
    const dir = lookup(tree.ctx, '/tmp');
    assert.ok(typeof dir !== 'number');
    dir.dentry.inode.mode |= 0o1777;
    writeFile(tree.ctx, '/tmp/roots', '');
    writeFile(asUser(tree), '/tmp/users', '');
    assert.equal(vfsUnlink(asUser(tree), AT_FDCWD, '/tmp/roots'), -EPERM);
    assert.equal(vfsUnlink(asUser(tree), AT_FDCWD, '/tmp/users'), 0);
  });

  it('makes nothing in a directory that has been removed', () => {
    const { ctx } = testTree();
    mkdir(ctx, '/d');
    const dir = lookup(ctx, '/d');
    assert.ok(typeof dir !== 'number');
    ctx.fs.pwd = dir;
    vfsRmdir(ctx, AT_FDCWD, '/d');
    assert.equal(open(ctx, 'f', O_CREAT), -ENOENT);
    assert.equal(mkdir(ctx, 'x'), -ENOENT);
  });
});

describe('rename()', () => {
  it('replaces a file and frees what was there', () => {
    const { ctx, vfs } = testTree();
    const free = vfs.pgdat.freeFrames;
    writeFile(ctx, '/a', 'new');
    writeFile(ctx, '/b', 'old');
    assert.equal(rename(ctx, '/a', '/b'), 0);
    assert.equal(readFile(ctx, '/b'), 'new');
    assert.equal(lookup(ctx, '/a'), -ENOENT);
    assert.equal(vfs.pgdat.freeFrames, free - 1);
  });

  it('does nothing to two names of one file', () => {
    const { ctx } = testTree();
    writeFile(ctx, '/a', 'x');
    const a = lookup(ctx, '/a');
    assert.ok(typeof a !== 'number');
    assert.equal(vfsLink(ctx, a, AT_FDCWD, '/b'), 0);
    assert.equal(rename(ctx, '/a', '/b'), 0);
    assert.deepEqual(list(ctx, '/').sort(), ['a', 'b', 'dev']);
    assert.equal(a.dentry.inode.nlink, 2);
  });

  it('checks kinds, emptiness, mounts and loops', () => {
    const { ctx } = testTree();
    mkdir(ctx, '/d');
    mkdir(ctx, '/d/in');
    mkdir(ctx, '/e');
    writeFile(ctx, '/f', '');
    assert.equal(rename(ctx, '/d', '/d/in/x'), -EINVAL);
    assert.equal(rename(ctx, '/d/in', '/d'), -ENOTEMPTY);
    assert.equal(rename(ctx, '/f', '/e'), -EISDIR);
    assert.equal(rename(ctx, '/e', '/f'), -ENOTDIR);
    assert.equal(rename(ctx, '/e', '/d'), -ENOTEMPTY);
    assert.equal(rename(ctx, '/f/', '/g'), -ENOTDIR);
    assert.equal(rename(ctx, '/f', '/g/'), -ENOTDIR);
    assert.equal(rename(ctx, '/f', '/dev/f'), -EXDEV);
    assert.equal(rename(ctx, '/dev', '/x'), -EBUSY);
    assert.equal(rename(ctx, '/d/.', '/x'), -EBUSY);
    assert.equal(rename(ctx, '/none', '/x'), -ENOENT);
    assert.equal(rename(ctx, '/d', '/e'), 0);
    assert.deepEqual(list(ctx, '/e'), ['in']);
  });

  it('keeps the target with RENAME_NOREPLACE and swaps with RENAME_EXCHANGE', () => {
    const { ctx } = testTree();
    mkdir(ctx, '/d');
    writeFile(ctx, '/d/x', 'X');
    writeFile(ctx, '/f', 'F');
    assert.equal(rename(ctx, '/f', '/d/x', RENAME_NOREPLACE), -EEXIST);
    assert.equal(rename(ctx, '/f', '/d', RENAME_EXCHANGE), 0);
    assert.equal(readFile(ctx, '/d'), 'F');
    assert.equal(readFile(ctx, '/f/x'), 'X');
    assert.equal(rename(ctx, '/f', '/none', RENAME_EXCHANGE), -ENOENT);
    assert.equal(rename(ctx, '/f/x', '/f', RENAME_EXCHANGE), -EINVAL);
    assert.equal(rename(ctx, '/d', '/x', RENAME_EXCHANGE | RENAME_NOREPLACE), -EINVAL);
  });
});

describe('mknod(), link() and symlink()', () => {
  it('lets only root make devices, and everybody fifos', () => {
    const tree = testTree();
    const dir = lookup(tree.ctx, '/');
    assert.ok(typeof dir !== 'number');
    dir.dentry.inode.mode |= 0o777;
    const user = asUser(tree);
    assert.equal(vfsMknod(user, AT_FDCWD, '/fifo', S_IFIFO | 0o666, 0), 0);
    assert.equal(vfsMknod(user, AT_FDCWD, '/null', 0o020666, 0x103), -EPERM);
    assert.equal(vfsMknod(tree.ctx, AT_FDCWD, '/null', 0o020666, 0x103), 0);
    const file = mustOpen(tree.ctx, '/null', O_RDWR);
    assert.equal(write(file, 'gone'), 4);
    file.putFile();
  });

  it('links no directories and nothing across mounts', () => {
    const { ctx } = testTree();
    mkdir(ctx, '/d');
    writeFile(ctx, '/f', '');
    const d = lookup(ctx, '/d');
    const f = lookup(ctx, '/f');
    assert.ok(typeof d !== 'number' && typeof f !== 'number');
    assert.equal(vfsLink(ctx, d, AT_FDCWD, '/d2'), -EPERM);
    assert.equal(vfsLink(ctx, f, AT_FDCWD, '/dev/f'), -EXDEV);
    assert.equal(vfsLink(ctx, f, AT_FDCWD, '/d'), -EEXIST);
  });

  it('takes no empty target', () => {
    const { ctx } = testTree();
    assert.equal(symlink(ctx, '', '/l'), -ENOENT);
    assert.equal(symlink(ctx, 'x', '/l/'), -ENOENT);
    assert.equal(mkdir(ctx, '/l/'), 0);
  });
});
