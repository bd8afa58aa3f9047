/* /proc/self/maps and smaps, parsed. */
#ifndef GUEST_REGIONS_H
#define GUEST_REGIONS_H

#include "types.h"

struct region {
	u64 start;
	u64 end;
	char perms[5];
	/* First letter of the file's name without its folder; 0 for anonymous memory. */
	char file;
	u64 pgoff;
	/* From smaps: anonymous pages, present and in swap. */
	u64 anonymous_kib;
	/* From smaps, of present pages: those that other processes map too, and those that none does. */
	u64 pss_kib;
	u64 shared_kib;
	u64 private_kib;
	/* From smaps: VmFlags without spaces, those that any kernel may have. */
	char flags[64];
};

extern struct region regions[];
extern size_t region_count;

/* The number behind `name:` in /proc/self/status, as it was when this was called last with NULL. */
u64 status_kib(const char *name);

/* Fills `regions` from /proc/self/maps or, with numbers and flags, from /proc/self/smaps. */
void read_regions(const char *path);

#endif
