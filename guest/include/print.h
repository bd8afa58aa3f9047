/* Output: numbers and strings gathered in one buffer, written at a newline or when it is full. */
#ifndef GUEST_PRINT_H
#define GUEST_PRINT_H

#include "types.h"

void put_char(char c);
void put_str(const char *s);
void put_dec(s64 n);
void put_hex(u64 n);
void flush(void);

/* `%s %d %x` with long arguments, and %%. */
void print(const char *format, ...);

#endif
