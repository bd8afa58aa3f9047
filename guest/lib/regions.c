#include "regions.h"
#include "lines.h"
#include "string.h"

#define MAX_REGIONS 512

static char text[1 << 18];
struct region regions[MAX_REGIONS];
size_t region_count;

static u64 parse_hex(const char **s)
{
	u64 n = 0;
	for (;; (*s)++) {
		char c = **s;
		if (c >= '0' && c <= '9')
			n = n * 16 + (u64)(c - '0');
		else if (c >= 'a' && c <= 'f')
			n = n * 16 + (u64)(c - 'a' + 10);
		else
			return n;
	}
}

static int starts_with(const char *s, const char *prefix)
{
	return memcmp(s, prefix, strlen(prefix)) == 0;
}

static u64 number_in(const char *s)
{
	while (*s < '0' || *s > '9')
		s++;
	return parse_dec(s);
}

static void parse_header(struct region *region, const char *s, const char *end)
{
	memset(region, 0, sizeof(*region));
	region->start = parse_hex(&s);
	s++;
	region->end = parse_hex(&s);
	s++;
	memcpy(region->perms, s, 4);
	s += 5;
	region->pgoff = parse_hex(&s) / PAGE_SIZE;
	for (; s < end; s++) {
		if (*s == '/')
			region->file = s[1];
	}
}

/* The flags that do not depend on the processor or on how a kernel is configured. */
static void parse_flags(struct region *region, const char *s, const char *end)
{
	static const char known[] = "rd wr ex sh mr mw me ms gd lo dc de ac nr dd rr sr wf lf ";
	size_t length = 0;
	for (; s + 2 < end; s += 3) {
		for (const char *k = known; *k; k += 3) {
			if (memcmp(k, s, 2) != 0)
				continue;
			memcpy(region->flags + length, s, 2);
			length += 2;
		}
	}
}

void read_regions(const char *path)
{
	struct region *region = regions;
	read_file(path, text, sizeof(text));
	region_count = 0;
	for (const char *s = text; *s;) {
		const char *end = s;
		while (*end && *end != '\n')
			end++;
		/* A header begins with a hexadecimal number, everything else with a capital. */
		if ((*s < 'A' || *s > 'Z') && region_count < MAX_REGIONS)
			parse_header(region = &regions[region_count++], s, end);
		else if (starts_with(s, "Anonymous:") || starts_with(s, "Swap:"))
			region->anonymous_kib += number_in(s);
		else if (starts_with(s, "Pss:"))
			region->pss_kib = number_in(s);
		else if (starts_with(s, "Shared_"))
			region->shared_kib += number_in(s);
		else if (starts_with(s, "Private_") && s[8] != 'H')
			region->private_kib += number_in(s);
		else if (starts_with(s, "VmFlags: "))
			parse_flags(region, s + 9, end);
		s = *end ? end + 1 : end;
	}
}

u64 status_kib(const char *name)
{
	static char status[4096];
	size_t length;
	if (name == NULL) {
		read_file("/proc/self/status", status, sizeof(status));
		return 0;
	}
	length = strlen(name);
	for (const char *s = status; *s; s++) {
		if (memcmp(s, name, length) == 0 && s[length] == ':')
			return number_in(s + length);
	}
	return 0;
}
