#include "print.h"
#include "string.h"
#include "syscall.h"

static char buffer[512];
static size_t used;

void flush(void)
{
	size_t done = 0;
	while (done < used) {
		long n = write(1, buffer + done, used - done);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	used = 0;
}

void put_char(char c)
{
	buffer[used++] = c;
	if (c == '\n' || used == sizeof(buffer))
		flush();
}

void put_str(const char *s)
{
	while (*s)
		put_char(*s++);
}

static void put_digits(u64 n, u64 base)
{
	char digits[20];
	int count = 0;
	do {
		digits[count++] = "0123456789abcdef"[n % base];
		n /= base;
	} while (n);
	while (count)
		put_char(digits[--count]);
}

void put_dec(s64 n)
{
	if (n < 0)
		put_char('-');
	put_digits(n < 0 ? -(u64)n : (u64)n, 10);
}

void put_hex(u64 n)
{
	put_str("0x");
	put_digits(n, 16);
}

void print(const char *format, ...)
{
	__builtin_va_list args;
	__builtin_va_start(args, format);
	for (; *format; format++) {
		if (*format != '%') {
			put_char(*format);
			continue;
		}
		switch (*++format) {
		case 's':
			put_str(__builtin_va_arg(args, const char *));
			break;
		case 'd':
			put_dec(__builtin_va_arg(args, s64));
			break;
		case 'x':
			put_hex(__builtin_va_arg(args, u64));
			break;
		default:
			put_char(*format);
		}
	}
	__builtin_va_end(args);
}
