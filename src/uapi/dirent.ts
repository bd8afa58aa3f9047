/** struct linux_dirent64. @linux include/linux/dirent.h, include/linux/fs_types.h */

/** d_ino u64 @0, d_off s64 @8, d_reclen u16 @16, d_type u8 @18, d_name from 19. */
export const DIRENT_OFF = 8;
export const DIRENT_RECLEN = 16;
export const DIRENT_TYPE = 18;
export const DIRENT_NAME = 19;

export const DT_UNKNOWN = 0;

/** DT_* of a mode: the file type's bits. */
export function modeToDirentType(mode: number): number {
  return (mode >>> 12) & 15;
}
