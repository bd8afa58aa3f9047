/** File modes and the layouts of struct stat and statx. @linux include/uapi/linux/stat.h, asm-generic/stat.h */

export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;
export const S_ISUID = 0o4000;
export const S_ISGID = 0o2000;
export const S_ISVTX = 0o1000;
export const S_IXGRP = 0o010;
export const S_IXUGO = 0o111;
export const S_IRWXUGO = 0o777;
/** What chmod can set. */
export const S_IALLUGO = 0o7777;

/** struct stat of riscv64: bytes, and byte offsets of its fields. */
export const STAT_BYTES = 128;
export const STAT_DEV = 0;
export const STAT_INO = 8;
export const STAT_MODE = 16;
export const STAT_NLINK = 20;
export const STAT_UID = 24;
export const STAT_GID = 28;
export const STAT_RDEV = 32;
export const STAT_SIZE = 48;
export const STAT_BLKSIZE = 56;
export const STAT_BLOCKS = 64;
export const STAT_ATIME = 72;
export const STAT_MTIME = 88;
export const STAT_CTIME = 104;

/** struct statx. */
export const STATX_BYTES = 256;
export const STATX_MASK = 0;
export const STATX_BLKSIZE = 4;
export const STATX_NLINK = 16;
export const STATX_UID = 20;
export const STATX_GID = 24;
export const STATX_MODE = 28;
export const STATX_INO = 32;
export const STATX_SIZE = 40;
export const STATX_BLOCKS = 48;
export const STATX_ATIME = 64;
export const STATX_BTIME = 80;
export const STATX_CTIME = 96;
export const STATX_MTIME = 112;
export const STATX_RDEV_MAJOR = 128;
export const STATX_RDEV_MINOR = 132;
export const STATX_DEV_MAJOR = 136;
export const STATX_DEV_MINOR = 140;
export const STATX_MNT_ID = 144;
export const STATX_BASIC_STATS = 0x7ff;
export const STATX_WANT_BTIME = 0x800;
export const STATX_WANT_MNT_ID = 0x1000;
export const STATX_RESERVED = 0x8000_0000;

export function isDir(mode: number): boolean {
  return (mode & S_IFMT) === S_IFDIR;
}

export function isReg(mode: number): boolean {
  return (mode & S_IFMT) === S_IFREG;
}

export function isLnk(mode: number): boolean {
  return (mode & S_IFMT) === S_IFLNK;
}

export function isBlk(mode: number): boolean {
  return (mode & S_IFMT) === S_IFBLK;
}

export function isChr(mode: number): boolean {
  return (mode & S_IFMT) === S_IFCHR;
}

export function isFifo(mode: number): boolean {
  return (mode & S_IFMT) === S_IFIFO;
}

export const UTIME_NOW = 0x3fff_ffff;
export const UTIME_OMIT = 0x3fff_fffe;

/** Packs a device number as dev_t is for user space: 12 bits of major, 20 of minor. */
export function makeDev(major: number, minor: number): number {
  return (minor & 0xff) | (major << 8) | ((minor & 0xf_ff00) << 12);
}

export function devMajor(dev: number): number {
  return (dev >>> 8) & 0xfff;
}

export function devMinor(dev: number): number {
  return (dev & 0xff) | ((dev >>> 12) & 0xf_ff00);
}
