/** struct statfs of 64-bit ABIs. @linux include/uapi/asm-generic/statfs.h, include/uapi/linux/magic.h */

export const STATFS_BYTES = 120;
export const F_TYPE = 0;
export const F_BSIZE = 8;
export const F_BLOCKS = 16;
export const F_BFREE = 24;
export const F_BAVAIL = 32;
export const F_FILES = 40;
export const F_FFREE = 48;
export const F_FSID = 56;
export const F_NAMELEN = 64;
export const F_FRSIZE = 72;
export const F_FLAGS = 80;

export const ST_RDONLY = 1;
export const ST_VALID = 0x20;
export const ST_RELATIME = 0x1000;

export const TMPFS_MAGIC = 0x0102_1994;
export const PROC_SUPER_MAGIC = 0x9fa0;
export const SYSFS_MAGIC = 0x6265_6572;
export const OVERLAYFS_SUPER_MAGIC = 0x794c_7630;
export const DEBUGFS_MAGIC = 0x6462_6720;
export const NSFS_MAGIC = 0x6e73_6673;
export const PIPEFS_MAGIC = 0x5049_5045;
export const SECRETMEM_MAGIC = 0x5345_434d;
export const PID_FS_MAGIC = 0x5049_4446;
export const ANON_INODE_FS_MAGIC = 0x0904_1934;
/** hostfs, as user-mode Linux has it. */
export const HOSTFS_SUPER_MAGIC = 0x00c0_ffee;
