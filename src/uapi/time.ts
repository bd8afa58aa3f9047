/** Clocks and timers. @linux include/uapi/linux/time.h */

export const CLOCK_REALTIME = 0;
export const CLOCK_MONOTONIC = 1;
export const CLOCK_PROCESS_CPUTIME_ID = 2;
export const CLOCK_THREAD_CPUTIME_ID = 3;
export const CLOCK_MONOTONIC_RAW = 4;
export const CLOCK_REALTIME_COARSE = 5;
export const CLOCK_MONOTONIC_COARSE = 6;
export const CLOCK_BOOTTIME = 7;
export const CLOCK_REALTIME_ALARM = 8;
export const CLOCK_BOOTTIME_ALARM = 9;
export const CLOCK_TAI = 11;

export const TIMER_ABSTIME = 1;

export const ITIMER_REAL = 0;
export const ITIMER_VIRTUAL = 1;
export const ITIMER_PROF = 2;

/** struct timespec and timeval: two longs. */
export const TIMESPEC_BYTES = 16;
/** struct itimerspec and itimerval: interval, then value. */
export const ITIMERSPEC_BYTES = 32;

/** Ticks a second of times(2) and /proc/PID/stat. */
export const USER_HZ = 100;

/** adjtimex(2) result: the clock is good. */
export const TIME_OK = 0;
