/* cat [FILE...]: copies files, or standard input, to standard output. */

#include "print.h"
#include "syscall.h"

static char buffer[4096];

static int copy(int fd)
{
	long n;
	while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
		for (long done = 0; done < n;) {
			long written = write(1, buffer + done, (size_t)(n - done));
			if (written < 0)
				return 1;
			done += written;
		}
	}
	return n < 0;
}

int main(int argc, char **argv)
{
	int failed = 0;
	if (argc < 2)
		return copy(0);
	for (int i = 1; i < argc; i++) {
		long fd = open(argv[i], O_RDONLY);
		if (fd < 0) {
			print("cat: %s: error %d\n", argv[i], -fd);
			failed = 1;
			continue;
		}
		failed |= copy((int)fd);
		close((int)fd);
	}
	return failed;
}
