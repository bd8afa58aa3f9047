/* Commands on standard input, a line each: how a driver steers a program that set up once. */
#ifndef GUEST_LINES_H
#define GUEST_LINES_H

#include "types.h"

/* Reads one line without its newline. @returns its length, or -1 at the end of the input. */
long read_line(char *line, size_t size);

#endif
