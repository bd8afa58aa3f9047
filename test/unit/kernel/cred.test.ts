import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  CAP_EMPTY_SET,
  CAP_FULL_SET,
  capable,
  capEffective,
  capPermitted,
  capset,
  commitCreds,
  execCreds,
} from '../../../src/kernel/cred.ts';
import { ROOT_CRED, type Cred, type Task } from '../../../src/kernel/task.ts';
import { CAP_IPC_LOCK, CAP_LAST_CAP } from '../../../src/uapi/capability.ts';
import { EPERM } from '../../../src/uapi/errno.ts';
import { bootProc, newTask } from '../fs/proc_harness.ts';

const IPC_LOCK = { lo: 1 << CAP_IPC_LOCK, hi: 0 };
const USER: Cred = { ...ROOT_CRED, uid: 7, euid: 7, suid: 7, fsuid: 7 };

function task(): Task {
  const made = newTask(bootProc());
  commitCreds(made, ROOT_CRED);
  return made;
}

describe('capabilities', () => {
  it('follow the user ids', () => {
    assert.ok(capable(ROOT_CRED, CAP_IPC_LOCK));
    assert.ok(capable(ROOT_CRED, CAP_LAST_CAP));
    assert.ok(!capable(ROOT_CRED, CAP_LAST_CAP + 1));
    assert.ok(!capable(USER, CAP_IPC_LOCK));
    assert.deepEqual(capPermitted({ ...USER, suid: 0 }), CAP_FULL_SET);
    assert.deepEqual(capEffective({ ...USER, suid: 0 }), CAP_EMPTY_SET);
  });

  it('are only lost by capset(), and reach the address space', () => {
    const t = task();
    assert.ok(t.mm!.ipcLock);
    assert.equal(capset(t, IPC_LOCK, IPC_LOCK, CAP_EMPTY_SET), 0);
    assert.ok(capable(t.cred, CAP_IPC_LOCK));
    assert.ok(t.mm!.ipcLock);
    assert.ok(!t.mm!.mayMapLow);
    assert.equal(capset(t, CAP_FULL_SET, IPC_LOCK, CAP_EMPTY_SET), -EPERM, 'not permitted');
    assert.equal(capset(t, IPC_LOCK, CAP_FULL_SET, CAP_EMPTY_SET), -EPERM);
    assert.equal(capset(t, IPC_LOCK, IPC_LOCK, CAP_FULL_SET), -EPERM);
    assert.equal(capset(t, CAP_EMPTY_SET, IPC_LOCK, IPC_LOCK), 0);
    assert.ok(!t.mm!.ipcLock);
    assert.equal(capset(t, IPC_LOCK, IPC_LOCK, IPC_LOCK), 0, 'still permitted');
  });

  it('that were set apart change with the user ids as Linux has it', () => {
    const t = task();
    capset(t, IPC_LOCK, IPC_LOCK, CAP_EMPTY_SET);
    commitCreds(t, { ...t.cred, euid: 7 });
    assert.deepEqual(capEffective(t.cred), CAP_EMPTY_SET);
    commitCreds(t, { ...t.cred, euid: 0 });
    assert.deepEqual(capEffective(t.cred), IPC_LOCK);
    commitCreds(t, { ...t.cred, uid: 7, euid: 7, suid: 7 });
    assert.deepEqual(capPermitted(t.cred), CAP_EMPTY_SET);
    assert.ok(!t.mm!.ipcLock);
  });

  it('follow the ids again after exec', () => {
    const t = task();
    capset(t, CAP_EMPTY_SET, CAP_EMPTY_SET, CAP_EMPTY_SET);
    assert.deepEqual(capEffective(execCreds(t.cred)), CAP_FULL_SET);
    assert.deepEqual(execCreds(USER), USER);
  });
});
