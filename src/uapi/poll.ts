/** poll(2), select(2), epoll(7) and eventfd(2). @linux include/uapi/asm-generic/poll.h, include/uapi/linux/eventpoll.h, eventfd.h */

export const POLLIN = 0x001;
export const POLLPRI = 0x002;
export const POLLOUT = 0x004;
export const POLLERR = 0x008;
export const POLLHUP = 0x010;
export const POLLNVAL = 0x020;
export const POLLRDNORM = 0x040;
export const POLLRDBAND = 0x080;
export const POLLWRNORM = 0x100;
export const POLLWRBAND = 0x200;
export const POLLRDHUP = 0x2000;

/** What a file without poll() of its own always is. @linux include/linux/poll.h:DEFAULT_POLLMASK */
export const DEFAULT_POLLMASK = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;

/** struct pollfd: fd s32 @0, events s16 @4, revents s16 @6. */
export const POLLFD_BYTES = 8;
export const POLLFD_EVENTS = 4;
export const POLLFD_REVENTS = 6;

/** Events that each of select()'s sets waits for. */
export const POLLIN_SET = POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR;
export const POLLOUT_SET = POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR;
export const POLLEX_SET = POLLPRI;

export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLL_CTL_MOD = 3;
export const EPOLL_CLOEXEC = 0o2000000;
export const EPOLLEXCLUSIVE = 1 << 28;
export const EPOLLWAKEUP = 1 << 29;
export const EPOLLONESHOT = 1 << 30;
export const EPOLLET = 1 << 31;
/** Bits of the event word that are no events. */
export const EP_PRIVATE_BITS = EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE;
/** struct epoll_event, not packed on riscv64: events u32 @0, data u64 @8. */
export const EPOLL_EVENT_BYTES = 16;
export const EPOLL_EVENT_DATA = 8;

export const EFD_SEMAPHORE = 1;
export const EFD_NONBLOCK = 0o4000;
export const EFD_CLOEXEC = 0o2000000;
