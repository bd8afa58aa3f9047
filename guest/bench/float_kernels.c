/*
 * Floating-point kernels for comparing processors, as cpu_kernels.c has them for integers.
 *
 *     float_kernels NAME [SCALE]
 *
 * Prints `NAME CHECKSUM NS INSTRUCTIONS` (kernels.h). Checksums are made of the bits of results:
 * every operation is one that IEEE 754 rounds in one way only, and the Makefile forbids the
 * compiler to fuse or reorder any, so all machines must agree to the last bit.
 */

#include "kernels.h"
#include "random.h"
#include "types.h"

static u64 bits_of(double x)
{
	union {
		double f;
		u64 u;
	} pun = { .f = x };
	return pun.u;
}

static double of_bits(u64 u)
{
	union {
		u64 u;
		double f;
	} pun = { .u = u };
	return pun.f;
}

/* A double in [0, 1): 53 random bits. */
static double random_unit(u64 *state)
{
	return (double)(s64)(next_random(state) >> 11) * 0x1p-53;
}

/* Matrix product of doubles, 128 x 128, SCALE * 24 times. */
#define MATRIX 128
#define MATRIX_ROUNDS 24
static double matrix_a[MATRIX][MATRIX];
static double matrix_b[MATRIX][MATRIX];
static double matrix_c[MATRIX][MATRIX];

static void dmatmul_setup(void)
{
	u64 state = 3;
	for (int i = 0; i < MATRIX; i++) {
		for (int j = 0; j < MATRIX; j++) {
			matrix_a[i][j] = random_unit(&state) - 0.5;
			matrix_b[i][j] = random_unit(&state) - 0.5;
		}
	}
}

static u64 dmatmul(u64 scale)
{
	u64 sum = 0;
	for (u64 round = 0; round < scale * MATRIX_ROUNDS; round++) {
		for (int i = 0; i < MATRIX; i++) {
			for (int j = 0; j < MATRIX; j++) {
				double cell = 0;
				for (int k = 0; k < MATRIX; k++)
					cell += matrix_a[i][k] * matrix_b[k][j];
				matrix_c[i][j] = cell;
			}
		}
		matrix_a[round % MATRIX][0] = matrix_c[round % MATRIX][1] * 0.125;
		sum = sum * 31 + bits_of(matrix_c[round % MATRIX][7]);
	}
	return sum;
}

/* Five bodies under gravity, SCALE * 400,000 steps: square roots and divisions. */
#define BODIES 5
#define NBODY_STEPS 400000

struct body {
	double at[3];
	double speed[3];
	double mass;
};

static struct body bodies[BODIES];

/* A heavy body at rest and light ones on roughly circular orbits. */
static void nbody_setup(void)
{
	u64 state = 17;
	bodies[0] = (struct body){ .mass = 40.0 };
	for (int i = 1; i < BODIES; i++) {
		double distance = 4.0 * i + random_unit(&state);
		double speed = __builtin_sqrt(bodies[0].mass / distance);
		bodies[i] = (struct body){
			.at = { distance, random_unit(&state), random_unit(&state) - 0.5 },
			.speed = { 0.125 * random_unit(&state), speed, 0.0625 },
			.mass = 0.03125 * random_unit(&state),
		};
	}
}

static void attract(struct body *a, struct body *b, double dt)
{
	double d[3];
	double square = 0;
	for (int k = 0; k < 3; k++) {
		d[k] = a->at[k] - b->at[k];
		square += d[k] * d[k];
	}
	double pull = dt / (square * __builtin_sqrt(square));
	for (int k = 0; k < 3; k++) {
		a->speed[k] -= d[k] * b->mass * pull;
		b->speed[k] += d[k] * a->mass * pull;
	}
}

static u64 nbody(u64 scale)
{
	const double dt = 0.0078125;
	for (u64 step = 0; step < scale * NBODY_STEPS; step++) {
		for (int i = 0; i < BODIES; i++) {
			for (int j = i + 1; j < BODIES; j++)
				attract(&bodies[i], &bodies[j], dt);
		}
		for (int i = 0; i < BODIES; i++) {
			for (int k = 0; k < 3; k++)
				bodies[i].at[k] += dt * bodies[i].speed[k];
		}
	}
	u64 sum = 0;
	for (int i = 0; i < BODIES; i++) {
		for (int k = 0; k < 3; k++)
			sum = sum * 31 + bits_of(bodies[i].at[k]);
	}
	return sum;
}

/* The Mandelbrot set in 160 x 120 points, at most 400 rounds each, SCALE * 5 times. */
#define MANDELBROT_ROUNDS 400

static u64 mandelbrot(u64 scale)
{
	u64 sum = 0;
	for (u64 picture = 0; picture < scale * 5; picture++) {
		for (int py = 0; py < 120; py++) {
			for (int px = 0; px < 160; px++) {
				double cx = -2.0 + px * (3.0 / 160) + (double)picture * 0x1p-20;
				double cy = -1.125 + py * (2.25 / 120);
				double x = 0;
				double y = 0;
				int n = 0;
				while (n < MANDELBROT_ROUNDS && x * x + y * y < 4.0) {
					double next = x * x - y * y + cx;
					y = 2.0 * x * y + cy;
					x = next;
					n++;
				}
				sum = sum * 31 + (u64)n + (bits_of(x) >> 40);
			}
		}
	}
	return sum;
}

/*
 * exp, log, sin and cos in the way of a C library: reduce the argument, look up or split, and
 * evaluate a polynomial. SCALE * 1,000,000 rounds.
 */
#define LIBM_ROUNDS 1000000
#define TABLE_BITS 7
#define TABLE_SIZE (1 << TABLE_BITS)
/* Adding it rounds to an integer, which then is in the low bits. */
#define ROUND_SHIFT 0x1.8p52
/* ln 2 and pi / 2 in a short part, whose products with small integers are exact, and the rest. */
#define LN2 0x1.62e42fefa39efp-1
#define LN2_HIGH 0x1.62e42fep-1
#define LN2_LOW 0x1.f473de6af278fp-30
#define PIO2 0x1.921fb54442d18p+0
#define PIO2_HIGH 0x1.921fb5p+0
#define PIO2_LOW 0x1.110b4611a6263p-26

/* 2^(i/128), the reciprocals of 1 + (i + 0.5)/128, and the logarithms of what they divide by. */
static double power_table[TABLE_SIZE];
static double inverse_table[TABLE_SIZE];
static double log_table[TABLE_SIZE];

static double log_by_series(double x)
{
	double z = (x - 1) / (x + 1);
	double square = z * z;
	double power = z;
	double sum = 0;
	for (int i = 1; i < 60; i += 2) {
		sum += power / i;
		power *= square;
	}
	return 2 * sum;
}

static void libm_setup(void)
{
	double root = 2;
	for (int i = 0; i < TABLE_BITS; i++)
		root = __builtin_sqrt(root);
	power_table[0] = 1;
	for (int i = 1; i < TABLE_SIZE; i++)
		power_table[i] = power_table[i - 1] * root;
	for (int i = 0; i < TABLE_SIZE; i++) {
		inverse_table[i] = 1 / (1 + (i + 0.5) / TABLE_SIZE);
		log_table[i] = -log_by_series(inverse_table[i]);
	}
}

/* For arguments of magnitude below 700. */
static __attribute__((noinline)) double exp_of(double x)
{
	double shifted = x * (TABLE_SIZE / LN2) + ROUND_SHIFT;
	u64 n = bits_of(shifted);
	double k = shifted - ROUND_SHIFT;
	double r = x - k * (LN2_HIGH / TABLE_SIZE) - k * (LN2_LOW / TABLE_SIZE);
	double square = r * r;
	double tail = r + square * (1.0 / 2 + r * (1.0 / 6)) +
		      square * square * (1.0 / 24 + r * (1.0 / 120));
	double scale = of_bits(bits_of(power_table[n % TABLE_SIZE]) + ((n >> TABLE_BITS) << 52));
	return scale + scale * tail;
}

/* For positive normal numbers. */
static __attribute__((noinline)) double log_of(double x)
{
	u64 bits = bits_of(x);
	s64 exponent = (s64)(bits >> 52) - 1023;
	u64 i = (bits >> (52 - TABLE_BITS)) % TABLE_SIZE;
	double mantissa = of_bits((bits & 0xfffffffffffffUL) | 0x3ff0000000000000UL);
	double r = mantissa * inverse_table[i] - 1;
	double square = r * r;
	double tail = square * (-1.0 / 2 + r * (1.0 / 3) + square * (-1.0 / 4 + r * (1.0 / 5)));
	double k = (double)exponent;
	return k * LN2_HIGH + log_table[i] + (r + (tail + k * LN2_LOW));
}

static double sin_part(double r)
{
	double z = r * r;
	double a = -1.0 / 6 + z * (1.0 / 120 + z * (-1.0 / 5040));
	double b = 1.0 / 362880 +
		   z * (-1.0 / 39916800 + z * (1.0 / 6227020800.0 - z * (1.0 / 1307674368000.0)));
	return r + r * z * (a + z * z * z * b);
}

static double cos_part(double r)
{
	double z = r * r;
	double a = 1.0 / 24 + z * (-1.0 / 720 + z * (1.0 / 40320));
	double b = -1.0 / 3628800 + z * (1.0 / 479001600 +
					z * (-1.0 / 87178291200.0 + z * (1.0 / 20922789888000.0)));
	return 1 - (0.5 * z - z * z * (a + z * z * z * b));
}

/* sin(x + quarter * pi / 2), for arguments of magnitude below a million. */
static __attribute__((noinline)) double sin_of(double x, u64 quarter)
{
	double shifted = x * (1 / PIO2) + ROUND_SHIFT;
	double k = shifted - ROUND_SHIFT;
	double r = x - k * PIO2_HIGH - k * PIO2_LOW;
	quarter += bits_of(shifted);
	double value = quarter & 1 ? cos_part(r) : sin_part(r);
	return quarter & 2 ? -value : value;
}

static u64 libm(u64 scale)
{
	u64 state = 23;
	u64 sum = 0;
	for (u64 i = 0; i < scale * LIBM_ROUNDS; i++) {
		double x = 0.001 + 100 * random_unit(&state);
		double power = exp_of(0.7 * log_of(x));
		double angle = sin_of(x, 0) * power + sin_of(x, 1);
		double length = __builtin_sqrt(angle * angle + x);
		sum = sum * 31 + bits_of(length + exp_of(-x));
	}
	return sum;
}

static const struct kernel KERNELS[] = {
	{ "dmatmul", dmatmul_setup, dmatmul },
	{ "nbody", nbody_setup, nbody },
	{ "mandelbrot", NULL, mandelbrot },
	{ "libm", libm_setup, libm },
};

int main(int argc, char **argv)
{
	return run_kernel(KERNELS, ARRAY_SIZE(KERNELS), argc, argv);
}
