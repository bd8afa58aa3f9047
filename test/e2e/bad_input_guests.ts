/** What guest/programs/bad_access.c does, and what the kernel says about it. */

interface BadAccess {
  readonly what: string;
  /** Signal, si_code, and si_addr where it is fixed. */
  readonly said: string;
}

export const BAD_ACCESSES: Readonly<Record<string, BadAccess>> = {
  stack: { what: 'stack overflow', said: 'signal 11 code 1' },
  wild_jump: { what: 'wild jump', said: 'signal 11 code 1 addr 0x3f12345000' },
  write_text: { what: 'write to text', said: 'signal 11 code 2 addr 0x1' },
  write_rodata: { what: 'write to constants', said: 'signal 11 code 2 addr 0x1' },
  run_data: { what: 'jump into data', said: 'signal 11 code 2 addr 0x1' },
  null_read: { what: 'read of page 0', said: 'signal 11 code 1 addr 0x10' },
  wild_write: { what: 'wild write', said: 'signal 11 code 1 addr 0x3f12345000' },
  far_read: { what: 'read beyond user space', said: 'signal 11 code 1' },
  far_below_stack: { what: 'write far below the stack', said: 'signal 11 code 1' },
  illegal: { what: 'illegal instruction', said: 'signal 4 code 1 addr 0x1' },
};
