import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  firstSignal,
  sigaddset,
  sigDefaultIgnored,
  sigDefaultStops,
  sigdelset,
  sigDumpsCore,
  sigismember,
} from '../../../src/kernel/sigset.ts';
import {
  SIGCHLD,
  SIGKILL,
  SIGSEGV,
  SIGTSTP,
  signalName,
  signalNumber,
} from '../../../src/uapi/signal.ts';

describe('signal sets', () => {
  it('hold each of the 64 signals on its own', () => {
    for (let sig = 1; sig <= 64; sig++) {
      const set = { lo: 0, hi: 0 };
      sigaddset(set, sig);
      for (let other = 1; other <= 64; other++) {
        assert.equal(sigismember(set.lo, set.hi, other), other === sig);
      }
      assert.equal(firstSignal(set.lo, set.hi), sig);
      sigdelset(set, sig);
      assert.deepEqual(set, { lo: 0, hi: 0 });
    }
  });

  it('name the lowest signal first', () => {
    assert.equal(firstSignal(0, 0), 0);
    assert.equal(firstSignal(0x8000_0000 | 0, 1), 32);
    assert.equal(firstSignal(0b110, -1), 2);
    assert.equal(firstSignal(0, 0x8000_0000 | 0), 64);
  });

  it('know the default actions', () => {
    assert.ok(sigDefaultIgnored(SIGCHLD));
    assert.ok(!sigDefaultIgnored(SIGCHLD + 32));
    assert.ok(sigDefaultStops(SIGTSTP));
    assert.ok(sigDumpsCore(SIGSEGV));
    assert.ok(!sigDumpsCore(SIGKILL));
  });
});

describe('signal names', () => {
  it('go both ways', () => {
    for (let sig = 1; sig < 32; sig++) assert.equal(signalNumber(signalName(sig)), sig);
    assert.equal(signalNumber('term'), 15);
    assert.equal(signalNumber(9), 9);
    assert.equal(signalNumber('SIGNOTHING'), 0);
    assert.equal(signalNumber(65), 0);
    assert.equal(signalName(34), 'SIGRT_2');
  });
});
