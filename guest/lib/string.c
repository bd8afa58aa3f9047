#include "string.h"

/* Keeps the compiler from turning a loop into a call of the function it is in. */
#define BARRIER() __asm__ volatile("" ::: "memory")

void *memset(void *dst, int c, size_t n)
{
	u8 *d = dst;
	u64 word = (u8)c * 0x0101010101010101UL;
	for (; n && ((u64)d & 7); n--)
		*d++ = (u8)c;
	for (; n >= 8; n -= 8, d += 8) {
		*(u64 *)d = word;
		BARRIER();
	}
	for (; n; n--) {
		*d++ = (u8)c;
		BARRIER();
	}
	return dst;
}

void *memcpy(void *dst, const void *src, size_t n)
{
	u8 *d = dst;
	const u8 *s = src;
	for (; n; n--) {
		*d++ = *s++;
		BARRIER();
	}
	return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const u8 *x = a;
	const u8 *y = b;
	for (; n; n--, x++, y++) {
		if (*x != *y)
			return *x - *y;
	}
	return 0;
}

size_t strlen(const char *s)
{
	size_t n = 0;
	while (s[n]) {
		n++;
		BARRIER();
	}
	return n;
}

int streq(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

u64 parse_dec(const char *s)
{
	u64 n = 0;
	while (*s >= '0' && *s <= '9')
		n = n * 10 + (u64)(*s++ - '0');
	return n;
}
