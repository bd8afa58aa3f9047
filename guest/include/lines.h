/* Text input: commands on standard input, a line each, and small files. */
#ifndef GUEST_LINES_H
#define GUEST_LINES_H

#include "types.h"

/* Reads one line without its newline. @returns its length, or -1 at the end of the input. */
long read_line(char *line, size_t size);

/* Reads a whole file of at most size - 1 bytes. @returns its length, or -errno. */
long read_file(const char *path, char *text, size_t size);

#endif
