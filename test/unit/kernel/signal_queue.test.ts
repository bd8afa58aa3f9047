import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { queueSignal, sigInfo } from '../../../src/kernel/signal.ts';
import { sigismember } from '../../../src/kernel/sigset.ts';
import { SigPending } from '../../../src/kernel/task.ts';
import { SIGRTMIN, SIGUSR1, SI_USER } from '../../../src/uapi/signal.ts';

describe('queueSignal()', () => {
  it('queues every real-time signal, others once', () => {
    const pending = new SigPending();
    for (const signo of [SIGUSR1, SIGRTMIN, SIGUSR1, SIGRTMIN]) {
      queueSignal(pending, sigInfo(signo, SI_USER), false);
    }
    assert.deepEqual(
      pending.infos!.map((info) => info.signo),
      [SIGUSR1, SIGRTMIN, SIGRTMIN],
    );
  });

  it('keeps only the number when the queue is full', () => {
    const pending = new SigPending();
    for (let n = 0; n < 3; n++) queueSignal(pending, sigInfo(SIGRTMIN, SI_USER), true);
    assert.equal(pending.infos, null);
    assert.ok(sigismember(pending.lo, pending.hi, SIGRTMIN));
  });
});
