/** wait4(2) and waitid(2). @linux include/uapi/linux/wait.h */

export const WNOHANG = 1;
export const WUNTRACED = 2;
export const WSTOPPED = 2;
export const WEXITED = 4;
export const WCONTINUED = 8;
export const WNOWAIT = 0x0100_0000;
/** __WNOTHREAD, __WALL, __WCLONE: bits 29 to 31. */
export const WNOTHREAD = 0x2000_0000;
export const WALL = 0x4000_0000;
export const WCLONE = -0x8000_0000;

export const P_ALL = 0;
export const P_PID = 1;
export const P_PGID = 2;
export const P_PIDFD = 3;

/** In the wait status: a core dump would have been written. */
export const WCOREFLAG = 0x80;
/** Wait status of a continued child. */
export const W_CONTINUED = 0xffff;
/** Low byte of the wait status of a stopped child. */
export const W_STOPPED = 0x7f;
