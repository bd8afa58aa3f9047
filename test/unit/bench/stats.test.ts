import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { geometricMean, percentile, round } from '../../../src/bench/stats.ts';

describe('percentile()', () => {
  it('takes the nearest rank', () => {
    const samples = [40, 10, 30, 20];
    assert.equal(percentile(samples, 0), 10);
    assert.equal(percentile(samples, 0.5), 20);
    assert.equal(percentile(samples, 0.51), 30);
    assert.equal(percentile(samples, 0.99), 40);
    assert.equal(percentile(samples, 1), 40);
  });

  it('has no value for no samples', () => {
    assert.ok(Number.isNaN(percentile([], 0.5)));
  });

  it('leaves its argument in order', () => {
    const samples = [3, 1, 2];
    percentile(samples, 0.5);
    assert.deepEqual(samples, [3, 1, 2]);
  });
});

describe('geometricMean()', () => {
  it('weighs ratios alike', () => {
    assert.equal(round(geometricMean([2, 8]), 9), 4);
    assert.equal(round(geometricMean([0.5, 2]), 9), 1);
  });
});
