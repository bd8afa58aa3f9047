import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Clock, NSEC_PER_SEC, Timer, TimerQueue } from '../../../src/kernel/time.ts';

describe('TimerQueue', () => {
  it('fires timers in the order of their times, whatever was cancelled before', () => {
    const step = fc.record({ at: fc.nat(50), cancel: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const queue = new TimerQueue();
        const fired: number[] = [];
        const timers = steps.map(({ at }) => {
          const timer: Timer = new Timer(() => fired.push(timer.expires));
          queue.start(timer, at);
          return timer;
        });
        steps.forEach(({ cancel }, i) => {
          if (cancel) queue.cancel(timers[i]!);
        });
        queue.run(50);
        const expected = steps.filter((s) => !s.cancel).map((s) => s.at);
        assert.deepEqual(
          fired,
          expected.sort((a, b) => a - b),
        );
        assert.equal(queue.nearest, Number.POSITIVE_INFINITY);
      }),
    );
  });

  it('leaves timers that are not due', () => {
    const queue = new TimerQueue();
    const timer = new Timer(() => assert.fail('too early'));
    queue.start(timer, 11);
    queue.run(10);
    assert.equal(queue.nearest, 11);
    assert.ok(timer.queued);
  });

  it('moves a timer that is started again', () => {
    const queue = new TimerQueue();
    let fired = 0;
    const timer = new Timer(() => fired++);
    queue.start(timer, 5);
    queue.start(timer, 20);
    queue.run(10);
    assert.equal(fired, 0);
    queue.run(20);
    assert.equal(fired, 1);
  });

  it('lets a timer start itself again while it fires', () => {
    const queue = new TimerQueue();
    let fired = 0;
    const timer: Timer = new Timer(() => {
      if (++fired < 3) queue.start(timer, timer.expires + 10);
    });
    queue.start(timer, 10);
    queue.run(100);
    assert.equal(fired, 3);
  });
});

describe('Clock', () => {
  it('shows the time it was set to, at whatever part of a second that happens', (t) => {
    const clock = new Clock(null);
    let now = 0;
    t.mock.method(clock, 'now', () => now);
    for (const at of [0, 5.7 * NSEC_PER_SEC, 6 * NSEC_PER_SEC - 1]) {
      for (const nsec of [0, 300_000_000, NSEC_PER_SEC - 1]) {
        now = at;
        clock.setRealtime(1000, nsec);
        assert.ok(clock.bootNsec >= 0 && clock.bootNsec < NSEC_PER_SEC);
        assert.equal(clock.realtimeToMonotonic(1000, nsec), now);
        assert.equal(clock.realtimeToMonotonic(1001, nsec), now + NSEC_PER_SEC);
      }
    }
  });
});
