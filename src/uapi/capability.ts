/** capabilities(7). @linux include/uapi/linux/capability.h */

export const CAPABILITY_VERSION_3 = 0x2008_0522;

export const CAP_IPC_LOCK = 14;
export const CAP_SYS_RAWIO = 17;
export const CAP_SYS_PTRACE = 19;
export const CAP_SYS_ADMIN = 21;
export const CAP_SYS_NICE = 23;
export const CAP_LAST_CAP = 40;
