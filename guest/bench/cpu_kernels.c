/*
 * Integer kernels of different kind, for comparing processors.
 *
 *     cpu_kernels NAME [SCALE]
 *
 * Prints `NAME CHECKSUM NS INSTRUCTIONS` (kernels.h).
 */

#include "kernels.h"
#include "random.h"
#include "string.h"
#include "types.h"

/* Primes below 4 million, SCALE * 2 times. */
static u8 *composite;
#define SIEVE_LIMIT (4UL << 20)

static void sieve_setup(void)
{
	composite = kernel_alloc(SIEVE_LIMIT);
}

static u64 sieve(u64 scale)
{
	u64 primes = 0;
	for (u64 round = 0; round < scale * 2; round++) {
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
		sum += fib_of(36);
	return sum;
}

/* Quicksort of 256 Ki random words, SCALE * 2 times. */
#define SORT_WORDS (256UL << 10)
static u32 *words;

static void qsort_setup(void)
{
	words = kernel_alloc(SORT_WORDS * sizeof(u32));
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
	for (u64 round = 0; round < scale * 2; round++) {
		for (u64 i = 0; i < SORT_WORDS; i++)
			words[i] = (u32)next_random(&state);
		sort(words, 0, SORT_WORDS - 1);
		for (u64 i = 1; i < SORT_WORDS; i++)
			sum = sum * 31 + (words[i] ^ words[i - 1]);
	}
	return sum;
}

/* SHA-256 compression of SCALE * 96 Ki blocks: rotates, adds, no memory to speak of. */
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
	for (u64 i = 0; i < scale * (96 << 10); i++) {
		block[0] = (u32)i;
		sha_block(h, block);
	}
	return (u64)h[0] << 32 | h[1];
}

/* CRC-32 by table over 1 MiB, SCALE * 16 times. */
static u32 crc_table[256];
static u8 *crc_data;

static void crc32_setup(void)
{
	u64 state = 7;
	crc_data = kernel_alloc(MIB);
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
	for (u64 round = 0; round < scale * 16; round++) {
		for (u64 i = 0; i < MIB; i++)
			crc = crc_table[(crc ^ crc_data[i]) & 255] ^ crc >> 8;
	}
	return ~crc;
}

/* Integer matrix product, 128 x 128, SCALE * 32 times. */
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
	for (u64 round = 0; round < scale * 32; round++) {
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

/* A bytecode machine: one indirect jump an instruction. Computes SCALE * 6 Mi loop rounds. */
enum { OP_ADD, OP_XOR, OP_SHIFT, OP_MUL, OP_DEC, OP_LOOP, OP_END };

static u64 bytecode(u64 scale)
{
	static const u8 code[] = { OP_ADD, OP_XOR, OP_SHIFT, OP_ADD, OP_MUL, OP_DEC, OP_LOOP, OP_END };
	u64 count = scale * (6 << 20);
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

/* Dependent loads through a random cycle over 64 KiB, SCALE * 16 Mi steps. */
#define CHASE_LINKS 8192
static u64 *links;

static void chase_setup(void)
{
	u64 state = 11;
	links = kernel_alloc(CHASE_LINKS * sizeof(u64));
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
	for (u64 i = 0; i < scale << 24; i++) {
		at = links[at];
		sum += at;
	}
	return sum;
}

/*
 * As chase, but over 32 MiB, one link a cache line: no cache near the core holds it, and each
 * step is in another page. SCALE * 512 Ki steps.
 */
#define FAR_LINKS (1UL << 19)
#define LINE_WORDS 8

static void chase_far_setup(void)
{
	u64 state = 13;
	links = kernel_alloc(FAR_LINKS * LINE_WORDS * sizeof(u64));
	for (u64 i = 0; i < FAR_LINKS; i++)
		links[i * LINE_WORDS] = i * LINE_WORDS;
	for (u64 i = FAR_LINKS - 1; i > 0; i--) {
		u64 j = next_random(&state) % i;
		u64 held = links[i * LINE_WORDS];
		links[i * LINE_WORDS] = links[j * LINE_WORDS];
		links[j * LINE_WORDS] = held;
	}
}

static u64 chase_far(u64 scale)
{
	u64 at = 0;
	u64 sum = 0;
	for (u64 i = 0; i < scale << 19; i++) {
		at = links[at];
		sum += at;
	}
	return sum;
}

/*
 * What strings are made of: lengths of 0 to 255 bytes at any alignment, measured and copied a
 * word at a time as C libraries do, SCALE * 768 Ki strings.
 */
#define TEXT_BYTES (64UL << 10)
#define LOW_BITS 0x0101010101010101UL
#define HIGH_BITS 0x8080808080808080UL
static char *text;
static char *copied;

static void strings_setup(void)
{
	u64 state = 19;
	text = kernel_alloc(TEXT_BYTES + PAGE_SIZE);
	copied = kernel_alloc(TEXT_BYTES + PAGE_SIZE);
	for (u64 i = 0; i < TEXT_BYTES; i++) {
		u64 x = next_random(&state) >> 32;
		text[i] = (char)(x % 97 ? 'a' + x % 26 : 0);
	}
}

/* Bytes below that of the lowest bit of `zeros`, a mask of highest bits of bytes. */
static u64 bytes_before(u64 zeros)
{
	return ((((zeros - 1) & ~zeros & LOW_BITS) * LOW_BITS) >> 56) - 1;
}

static __attribute__((noinline)) size_t length_of(const char *s)
{
	const char *p = s;
	for (; (u64)p & 7; p++) {
		if (!*p)
			return (size_t)(p - s);
	}
	for (;; p += 8) {
		u64 word = *(const u64 *)p;
		u64 zeros = (word - LOW_BITS) & ~word & HIGH_BITS;
		if (zeros)
			return (size_t)(p - s) + bytes_before(zeros);
	}
}

/* Copies to an aligned place; words of the source are put together from two aligned ones. */
static __attribute__((noinline)) void copy_bytes(char *dst, const char *src, size_t n)
{
	u64 shift = ((u64)src & 7) * 8;
	if (!shift) {
		for (; n >= 8; n -= 8, dst += 8, src += 8) {
			*(u64 *)dst = *(const u64 *)src;
			__asm__ volatile("" ::: "memory");
		}
	} else if (n >= 16) {
		const u64 *from = (const u64 *)((u64)src & ~7UL);
		u64 low = *from++;
		for (; n >= 16; n -= 8, dst += 8, src += 8) {
			u64 high = *from++;
			*(u64 *)dst = low >> shift | high << (64 - shift);
			low = high;
		}
	}
	for (; n; n--) {
		*dst++ = *src++;
		__asm__ volatile("" ::: "memory");
	}
}

static u64 strings(u64 scale)
{
	u64 state = 29;
	u64 sum = 0;
	u64 at = 0;
	for (u64 i = 0; i < scale * (768 << 10); i++) {
		u64 from = next_random(&state) % TEXT_BYTES;
		size_t n = length_of(text + from);
		if (at + n > TEXT_BYTES)
			at = 0;
		copy_bytes(copied + at, text + from, n);
		sum = sum * 31 + n + (u8)copied[at + n / 2];
		at += (n + 7) & ~7UL;
	}
	return sum;
}

static const struct kernel KERNELS[] = {
	{ "sieve", sieve_setup, sieve },
	{ "fib", NULL, fib },
	{ "qsort", qsort_setup, qsort },
	{ "sha256", NULL, sha256 },
	{ "crc32", crc32_setup, crc32 },
	{ "matmul", matmul_setup, matmul },
	{ "bytecode", NULL, bytecode },
	{ "chase", chase_setup, chase },
	{ "chase_far", chase_far_setup, chase_far },
	{ "strings", strings_setup, strings },
};

int main(int argc, char **argv)
{
	return run_kernel(KERNELS, ARRAY_SIZE(KERNELS), argc, argv);
}
