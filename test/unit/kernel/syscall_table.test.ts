import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SYSCALLS, syscallHandlers } from '../../../src/syscalls/table.ts';
import * as unistd from '../../../src/uapi/unistd.ts';

describe('the table of system calls', () => {
  it('has one row a number, named as the number is', () => {
    const seen = new Set<number>();
    for (const { nr, name } of SYSCALLS) {
      assert.ok(!seen.has(nr), name);
      seen.add(nr);
      const constant = `NR_${name.toUpperCase()}`;
      assert.equal((unistd as Readonly<Record<string, number>>)[constant], nr, name);
    }
  });

  it('says what is missing exactly where a call is partial', () => {
    for (const { name, status, note, handler } of SYSCALLS) {
      assert.equal(note !== '', status === 'partial', name);
      assert.equal(handler === undefined, status === 'absent', name);
    }
  });

  it('handles what every shell needs', () => {
    const handlers = syscallHandlers();
    for (const nr of [unistd.NR_CLONE, unistd.NR_EXECVE, unistd.NR_WAIT4, unistd.NR_MMAP]) {
      assert.notEqual(handlers[nr], undefined);
    }
    assert.equal(handlers[unistd.NR_IO_URING_SETUP], undefined);
  });
});
