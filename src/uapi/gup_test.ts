/** ioctls of /sys/kernel/debug/gup_test. @linux mm/gup_test.h */

export const GUP_FAST_BENCHMARK = 0xc050_6701;
export const PIN_FAST_BENCHMARK = 0xc050_6702;
export const PIN_LONGTERM_BENCHMARK = 0xc050_6703;
export const GUP_BASIC_TEST = 0xc050_6704;
export const PIN_BASIC_TEST = 0xc050_6705;
export const DUMP_USER_PAGES_TEST = 0xc050_6706;
export const PIN_LONGTERM_TEST_START = 0x4018_6707;
export const PIN_LONGTERM_TEST_STOP = 0x6708;
export const PIN_LONGTERM_TEST_READ = 0x4008_6709;

/** struct gup_test. */
export const GUP_TEST_BYTES = 80;
export const GUP_TEST_GET_DELTA = 0;
export const GUP_TEST_PUT_DELTA = 8;
export const GUP_TEST_ADDR = 16;
export const GUP_TEST_SIZE = 24;
export const GUP_TEST_NR_PAGES_PER_CALL = 32;
export const GUP_TEST_GUP_FLAGS = 36;
export const GUP_TEST_TEST_FLAGS = 40;
export const GUP_TEST_WHICH_PAGES = 44;
export const GUP_TEST_MAX_PAGES_TO_DUMP = 8;
export const GUP_TEST_FLAG_DUMP_PAGES_USE_PIN = 1;

/** struct pin_longterm_test. */
export const PIN_LONGTERM_TEST_BYTES = 24;
export const PIN_LONGTERM_ADDR = 0;
export const PIN_LONGTERM_SIZE = 8;
export const PIN_LONGTERM_FLAGS = 16;
export const PIN_LONGTERM_TEST_FLAG_USE_WRITE = 1;
export const PIN_LONGTERM_TEST_FLAG_USE_FAST = 2;
