/** ioctls of /proc/PID/maps and pagemap. @linux include/uapi/linux/fs.h */

/** struct procmap_query, 104 bytes. _IOWR('f', 17, struct procmap_query) */
export const PROCMAP_QUERY = 0xc068_6611;
/** struct pm_scan_arg, 96 bytes. _IOWR('f', 16, struct pm_scan_arg) */
export const PAGEMAP_SCAN = 0xc060_6610;

export const PROCMAP_QUERY_VMA_READABLE = 0x01;
export const PROCMAP_QUERY_VMA_WRITABLE = 0x02;
export const PROCMAP_QUERY_VMA_EXECUTABLE = 0x04;
export const PROCMAP_QUERY_VMA_SHARED = 0x08;
export const PROCMAP_QUERY_COVERING_OR_NEXT_VMA = 0x10;
export const PROCMAP_QUERY_FILE_BACKED_VMA = 0x20;

// struct procmap_query: u64 each, but for the four u32 at 72 to 84.
export const PROCMAP_QUERY_BYTES = 104;
export const PQ_QUERY_FLAGS = 8;
export const PQ_QUERY_ADDR = 16;
export const PQ_VMA_START = 24;
export const PQ_VMA_END = 32;
export const PQ_VMA_FLAGS = 40;
export const PQ_VMA_PAGE_SIZE = 48;
export const PQ_VMA_OFFSET = 56;
export const PQ_INODE = 64;
export const PQ_DEV_MAJOR = 72;
export const PQ_DEV_MINOR = 76;
export const PQ_VMA_NAME_SIZE = 80;
export const PQ_BUILD_ID_SIZE = 84;
export const PQ_VMA_NAME_ADDR = 88;
export const PQ_BUILD_ID_ADDR = 96;

// Categories of a page in struct pm_scan_arg and struct page_region.
export const PAGE_IS_WPALLOWED = 1 << 0;
export const PAGE_IS_WRITTEN = 1 << 1;
export const PAGE_IS_FILE = 1 << 2;
export const PAGE_IS_PRESENT = 1 << 3;
export const PAGE_IS_SWAPPED = 1 << 4;
export const PAGE_IS_PFNZERO = 1 << 5;
export const PAGE_IS_HUGE = 1 << 6;
export const PAGE_IS_SOFT_DIRTY = 1 << 7;
export const PAGE_IS_GUARD = 1 << 8;

export const PM_SCAN_WP_MATCHING = 1 << 0;
export const PM_SCAN_CHECK_WPASYNC = 1 << 1;

// struct pm_scan_arg: twelve u64.
export const PM_SCAN_ARG_BYTES = 96;
export const PMS_SIZE = 0;
export const PMS_FLAGS = 8;
export const PMS_START = 16;
export const PMS_END = 24;
export const PMS_WALK_END = 32;
export const PMS_VEC = 40;
export const PMS_VEC_LEN = 48;
export const PMS_MAX_PAGES = 56;
export const PMS_CATEGORY_INVERTED = 64;
export const PMS_CATEGORY_MASK = 72;
export const PMS_CATEGORY_ANYOF_MASK = 80;
export const PMS_RETURN_MASK = 88;

/** struct page_region: start, end, categories, u64 each. */
export const PAGE_REGION_BYTES = 24;
