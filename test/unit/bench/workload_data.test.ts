import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { bundleSources, textBytes } from '../../../src/bench/workload_data.ts';

describe('textBytes()', () => {
  it('is the same every time, and a shorter one is its start', () => {
    const long = Buffer.from(textBytes(50_000));
    assert.deepEqual(Buffer.from(textBytes(50_000)), long);
    assert.deepEqual(Buffer.from(textBytes(777)), long.subarray(0, 777));
    assert.ok(!long.includes(0));
  });

  it('compresses as text does: not to nothing, and not badly', () => {
    const packed = gzipSync(textBytes(1 << 20)).length / (1 << 20);
    assert.ok(packed > 0.2 && packed < 0.7, String(packed));
  });
});

describe('bundleSources()', () => {
  it('imports only modules that are there', () => {
    const files = new Map(bundleSources(9));
    assert.equal(files.size, 10);
    for (const text of files.values()) {
      for (const [, name] of text.matchAll(/ from '\.\/([^']+)'/g)) assert.ok(files.has(name!));
    }
    assert.deepEqual([...files], bundleSources(9));
  });
});
