#include "lines.h"
#include "syscall.h"

long read_line(char *line, size_t size)
{
	size_t n = 0;
	while (n + 1 < size) {
		char c;
		if (read(0, &c, 1) != 1)
			return -1;
		if (c == '\n')
			break;
		line[n++] = c;
	}
	line[n] = 0;
	return (long)n;
}

long read_file(const char *path, char *text, size_t size)
{
	long fd = open(path, O_RDONLY);
	long length = 0;
	long n;
	if (fd < 0)
		return fd;
	while ((n = read((int)fd, text + length, size - 1 - (size_t)length)) > 0)
		length += n;
	close((int)fd);
	text[length] = 0;
	return n < 0 ? n : length;
}
