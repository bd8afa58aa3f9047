/* Test output in TAP, as the kernel's own self tests print it. Exit code 0 only if all passed. */
#ifndef GUEST_KSFT_H
#define GUEST_KSFT_H

void ksft_plan(int tests);
void ksft_test(int ok, const char *name);
void ksft_finish(void);

/* Runs `body` in a child and passes if the child exits with 0. */
void ksft_child(int (*body)(void), const char *name);

#endif
