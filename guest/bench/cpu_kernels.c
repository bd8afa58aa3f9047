/*
 * Integer kernels of different kind, for comparing processors.
 *
 *     cpu_kernels NAME [SCALE]
 *
 * Prints `NAME CHECKSUM NS INSTRUCTIONS`: the checksum is the same on every machine, the time is
 * that of the kernel alone, and INSTRUCTIONS are those retired (0 where no counter is readable).
 */

#include "print.h"
#include "random.h"
#include "string.h"
#include "syscall.h"

static u64 instructions(void)
{
#if defined(__riscv)
	u64 n;
	__asm__ volatile("rdinstret %0" : "=r"(n));
	return n;
#else
	return 0;
#endif
}

static void *alloc(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
	if (mmap_failed(memory)) {
		print("cannot map %d bytes\n", (long)bytes);
		exit(1);
	}
	memset(memory, 0, bytes);
	return memory;
}

/* Primes below 4 million, SCALE times. */
static u8 *composite;
#define SIEVE_LIMIT (4UL << 20)

static void sieve_setup(void)
{
	composite = alloc(SIEVE_LIMIT);
}

static u64 sieve(u64 scale)
{
	u64 primes = 0;
	while (scale--) {
		memset(composite, 0, SIEVE_LIMIT);
		primes = 0;
		for (u64 i = 2; i < SIEVE_LIMIT; i++) {
			if (composite[i])
				continue;
			primes++;
			for (u64 j = i * i; j < SIEVE_LIMIT; j += i)
				composite[j] = 1;
		}
	}
	return primes;
}

/* Calls and returns: Fibonacci by definition. */
static __attribute__((noinline)) u64 fib_of(u64 n)
{
	if (n < 2)
		return n;
	u64 left = fib_of(n - 1);
	/* Keeps the compiler from unrolling the recursion into something else on each machine. */
	__asm__ volatile("" : "+r"(left));
	return left + fib_of(n - 2);
}

static u64 fib(u64 scale)
{
	u64 sum = 0;
	while (scale--)
		sum += fib_of(30);
	return sum;
}

/* Quicksort of 256 Ki random words, SCALE times. */
#define SORT_WORDS (256UL << 10)
static u32 *words;

static void qsort_setup(void)
{
	words = alloc(SORT_WORDS * sizeof(u32));
}

static void sort(u32 *a, s64 low, s64 high)
{
	while (low < high) {
		u32 pivot = a[(low + high) >> 1];
		s64 i = low;
		s64 j = high;
		while (i <= j) {
			while (a[i] < pivot)
				i++;
			while (a[j] > pivot)
				j--;
			if (i <= j) {
				u32 held = a[i];
				a[i++] = a[j];
				a[j--] = held;
			}
		}
		sort(a, low, j);
		low = i;
	}
}

static u64 qsort(u64 scale)
{
	u64 state = 1;
	u64 sum = 0;
	while (scale--) {
		for (u64 i = 0; i < SORT_WORDS; i++)
			words[i] = (u32)next_random(&state);
		sort(words, 0, SORT_WORDS - 1);
		for (u64 i = 1; i < SORT_WORDS; i++)
			sum = sum * 31 + (words[i] ^ words[i - 1]);
	}
	return sum;
}

/* SHA-256 compression of SCALE * 16 Ki blocks: rotates, adds, no memory to speak of. */
static const u32 SHA_K[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline u32 rotate(u32 x, int n)
{
	return x >> n | x << (32 - n);
}

static void sha_block(u32 h[8], const u32 block[16])
{
	u32 w[64];
	u32 s[8];
	for (int i = 0; i < 16; i++)
		w[i] = block[i];
	for (int i = 16; i < 64; i++) {
		u32 s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
		u32 s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
		w[i] = w[i - 16] + s0 + w[i - 7] + s1;
	}
	for (int i = 0; i < 8; i++)
		s[i] = h[i];
	for (int i = 0; i < 64; i++) {
		u32 s1 = rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25);
		u32 choose = (s[4] & s[5]) ^ (~s[4] & s[6]);
		u32 t1 = s[7] + s1 + choose + SHA_K[i] + w[i];
		u32 s0 = rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22);
		u32 majority = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]);
		for (int j = 7; j > 0; j--)
			s[j] = s[j - 1];
		s[4] += t1;
		s[0] = t1 + s0 + majority;
	}
	for (int i = 0; i < 8; i++)
		h[i] += s[i];
}

static u64 sha256(u64 scale)
{
	u32 h[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
		     0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
	u32 block[16] = { 0 };
	for (u64 i = 0; i < scale << 14; i++) {
		block[0] = (u32)i;
		sha_block(h, block);
	}
	return (u64)h[0] << 32 | h[1];
}

/* CRC-32 by table over 1 MiB, SCALE * 8 times. */
static u32 crc_table[256];
static u8 *crc_data;

static void crc32_setup(void)
{
	u64 state = 7;
	crc_data = alloc(MIB);
	for (u64 i = 0; i < MIB; i++)
		crc_data[i] = (u8)next_random(&state);
	for (u32 i = 0; i < 256; i++) {
		u32 c = i;
		for (int bit = 0; bit < 8; bit++)
			c = c & 1 ? 0xedb88320 ^ c >> 1 : c >> 1;
		crc_table[i] = c;
	}
}

static u64 crc32(u64 scale)
{
	u32 crc = ~0u;
	for (u64 round = 0; round < scale * 8; round++) {
		for (u64 i = 0; i < MIB; i++)
			crc = crc_table[(crc ^ crc_data[i]) & 255] ^ crc >> 8;
	}
	return ~crc;
}

/* Integer matrix product, 128 x 128, SCALE * 4 times. */
#define MATRIX 128
static u64 matrix_a[MATRIX][MATRIX];
static u64 matrix_b[MATRIX][MATRIX];
static u64 matrix_c[MATRIX][MATRIX];

static void matmul_setup(void)
{
	u64 state = 3;
	for (int i = 0; i < MATRIX; i++) {
		for (int j = 0; j < MATRIX; j++) {
			matrix_a[i][j] = next_random(&state);
			matrix_b[i][j] = next_random(&state);
		}
	}
}

static u64 matmul(u64 scale)
{
	u64 sum = 0;
	for (u64 round = 0; round < scale * 4; round++) {
		for (int i = 0; i < MATRIX; i++) {
			for (int j = 0; j < MATRIX; j++) {
				u64 cell = 0;
				for (int k = 0; k < MATRIX; k++)
					cell += matrix_a[i][k] * matrix_b[k][j];
				matrix_c[i][j] = cell;
			}
		}
		matrix_a[round % MATRIX][0] += matrix_c[round % MATRIX][1];
		sum = sum * 31 + matrix_c[round % MATRIX][7];
	}
	return sum;
}

/* A bytecode machine: one indirect jump an instruction. Computes SCALE * 2 Mi loop rounds. */
enum { OP_ADD, OP_XOR, OP_SHIFT, OP_MUL, OP_DEC, OP_LOOP, OP_END };

static u64 bytecode(u64 scale)
{
	static const u8 code[] = { OP_ADD, OP_XOR, OP_SHIFT, OP_ADD, OP_MUL, OP_DEC, OP_LOOP, OP_END };
	u64 count = scale << 21;
	u64 a = 1;
	u64 b = 12345;
	for (const u8 *pc = code;;) {
		switch (*pc++) {
		case OP_ADD:
			a += b;
			break;
		case OP_XOR:
			b ^= a;
			break;
		case OP_SHIFT:
			b += a >> 7;
			break;
		case OP_MUL:
			a *= 6364136223846793005UL;
			break;
		case OP_DEC:
			count--;
			break;
		case OP_LOOP:
			if (count)
				pc = code;
			break;
		case OP_END:
			return a ^ b;
		}
	}
}

/* Dependent loads through a random cycle over 64 KiB, SCALE * 8 Mi steps. */
#define CHASE_LINKS 8192
static u64 *links;

static void chase_setup(void)
{
	u64 state = 11;
	links = alloc(CHASE_LINKS * sizeof(u64));
	for (u64 i = 0; i < CHASE_LINKS; i++)
		links[i] = i;
	/* Sattolo's shuffle: one cycle through all links. */
	for (u64 i = CHASE_LINKS - 1; i > 0; i--) {
		u64 j = next_random(&state) % i;
		u64 held = links[i];
		links[i] = links[j];
		links[j] = held;
	}
}

static u64 chase(u64 scale)
{
	u64 at = 0;
	u64 sum = 0;
	for (u64 i = 0; i < scale << 23; i++) {
		at = links[at];
		sum += at;
	}
	return sum;
}

static const struct kernel {
	const char *name;
	void (*setup)(void);
	u64 (*run)(u64 scale);
} KERNELS[] = {
	{ "sieve", sieve_setup, sieve }, { "fib", NULL, fib },
	{ "qsort", qsort_setup, qsort }, { "sha256", NULL, sha256 },
	{ "crc32", crc32_setup, crc32 }, { "matmul", matmul_setup, matmul },
	{ "bytecode", NULL, bytecode },	 { "chase", chase_setup, chase },
};

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";
	u64 scale = argc > 2 ? parse_dec(argv[2]) : 1;
	for (size_t i = 0; i < ARRAY_SIZE(KERNELS); i++) {
		if (!streq(KERNELS[i].name, name))
			continue;
		if (KERNELS[i].setup)
			KERNELS[i].setup();
		u64 start = now_ns();
		u64 before = instructions();
		u64 sum = KERNELS[i].run(scale);
		u64 after = instructions();
		u64 end = now_ns();
		print("%s %x %d %d\n", name, sum, end - start, after - before);
		return 0;
	}
	print("usage: cpu_kernels NAME [SCALE], NAME one of");
	for (size_t i = 0; i < ARRAY_SIZE(KERNELS); i++)
		print(" %s", KERNELS[i].name);
	put_char('\n');
	return 2;
}
