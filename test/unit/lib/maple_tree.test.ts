import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { MapleTree, type Range } from '../../../src/lib/maple_tree.ts';

const SPACE = 2000;

/** The tree's contract written as plainly as possible over a sorted array. */
class Model {
  ranges: Range[] = [];

  overlaps(start: number, end: number): boolean {
    return this.ranges.some((r) => r.start < end && start < r.end);
  }
  insert(r: Range): void {
    this.ranges.push(r);
    this.ranges.sort((a, b) => a.start - b.start);
  }
  find(addr: number): Range | undefined {
    return this.ranges.find((r) => r.end > addr);
  }
  gapDown(size: number, low: number, high: number, align: number): number {
    for (let at = Math.floor((high - size) / align) * align; at >= low; at -= align) {
      if (!this.overlaps(at, at + size)) return at;
    }
    return -1;
  }
  gapUp(size: number, low: number, high: number, align: number): number {
    for (let at = Math.ceil(low / align) * align; at + size <= high; at += align) {
      if (!this.overlaps(at, at + size)) return at;
    }
    return -1;
  }
}

function checkSame(tree: MapleTree<Range>, model: Model): void {
  assert.deepEqual([...tree], model.ranges);
  assert.equal(tree.size, model.ranges.length);
  assert.equal(tree.first(), model.ranges[0]);
  assert.equal(tree.last(), model.ranges.at(-1));
}

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constant('insert' as const),
      at: fc.nat(SPACE),
      n: fc.integer({ min: 1, max: 20 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant('remove' as const),
      at: fc.nat(SPACE),
      n: fc.constant(0),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('cut' as const),
      at: fc.nat(SPACE),
      n: fc.integer({ min: 1, max: 9 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('gap' as const),
      at: fc.nat(SPACE),
      n: fc.integer({ min: 1, max: 40 }),
    }),
  },
);

type Step = { op: 'insert' | 'remove' | 'cut' | 'gap'; at: number; n: number };

function runStep(tree: MapleTree<Range>, model: Model, { op, at, n }: Step): void {
  const found = tree.find(at);
  assert.equal(found, model.find(at));
  if (op === 'insert' && !model.overlaps(at, at + n)) {
    const r = { start: at, end: at + n };
    tree.insert(r);
    model.insert(r);
  } else if (op === 'remove' && found !== undefined) {
    const place = model.ranges.indexOf(found);
    assert.equal(tree.next(found), model.ranges[place + 1]);
    assert.equal(tree.prev(found), model.ranges[place - 1]);
    tree.remove(found);
    model.ranges.splice(place, 1);
  } else if (op === 'cut' && found !== undefined && found.end - found.start > n) {
    if (at % 2 === 0) found.start += n;
    else found.end -= n;
    tree.gapsChanged(found);
  } else if (op === 'gap') {
    const align = (at % 3) + 1;
    const high = SPACE + 30 - (at % 50);
    const low = at % 40;
    assert.equal(tree.findGapDown(n, low, high, align), model.gapDown(n, low, high, align));
    assert.equal(tree.findGapUp(n, at, high, align), model.gapUp(n, at, high, align));
    assert.equal(tree.findGapDown(n, low, at, align), model.gapDown(n, low, at, align));
  }
}

describe('MapleTree', () => {
  it('does what a sorted array does', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 400, size: 'max' }), (steps) => {
        const tree = new MapleTree<Range>();
        const model = new Model();
        for (const s of steps) runStep(tree, model, s);
        checkSame(tree, model);
      }),
      { numRuns: 150 },
    );
  });

  it('splits and joins chunks without losing order', () => {
    const tree = new MapleTree<Range>();
    const model = new Model();
    for (let i = 0; i < 1000; i++) {
      const start = ((i * 7919) % 1000) * 2;
      const r = { start, end: start + 1 + (i % 2) };
      tree.insert(r);
      model.insert(r);
    }
    checkSame(tree, model);
    for (let i = 0; i < 950; i++) {
      const r = model.ranges.splice((i * 37) % model.ranges.length, 1)[0]!;
      tree.remove(r);
    }
    checkSame(tree, model);
    for (const r of model.ranges) assert.equal(tree.find(r.start), r);
  });

  it('refuses an overlap and the removal of a stranger', () => {
    const tree = new MapleTree<Range>();
    tree.insert({ start: 10, end: 20 });
    assert.throws(() => tree.insert({ start: 5, end: 11 }), /overlap/);
    assert.throws(() => tree.append({ start: 19, end: 21 }), /order/);
    assert.throws(() => tree.remove({ start: 10, end: 20 }), /not in the tree/);
    tree.insert({ start: 20, end: 21 });
    tree.insert({ start: 9, end: 10 });
    assert.equal(tree.size, 3);
  });

  it('lets a loop remove the range it visits, or cut and grow it', () => {
    const tree = new MapleTree<Range>();
    for (let i = 0; i < 500; i++) tree.append({ start: i * 10, end: i * 10 + 5 });
    const seen: number[] = [];
    for (const r of tree) {
      seen.push(r.start);
      if (r.start % 3 === 0) tree.remove(r);
      else if (r.start % 3 === 1) {
        r.end += 2;
        tree.gapsChanged(r);
      }
    }
    assert.deepEqual(
      seen,
      Array.from({ length: 500 }, (_, i) => i * 10),
    );
    assert.equal(tree.size, 333);
  });

  it('looks ranges up in a time that hardly grows with their number', () => {
    const tree = new MapleTree<Range>();
    for (let i = 0; i < 65_530; i++) tree.append({ start: i * 8192, end: i * 8192 + 4096 });
    assert.equal(tree.findGapDown(8192, 65536, 65_530 * 8192), -1);
    assert.equal(tree.findGapDown(4096, 65536, 65_530 * 8192), 65_529 * 8192 + 4096);
    assert.equal(tree.findGapUp(4096, 0, 2 ** 47), 4096);
    assert.equal(tree.find(40_000 * 8192 + 4096)!.start, 40_001 * 8192);
    assert.equal(tree.before(40_000 * 8192 + 4096)!.start, 40_000 * 8192);
  });

  it('is empty after clear()', () => {
    const tree = new MapleTree<Range>();
    tree.append({ start: 1, end: 2 });
    assert.equal(tree.find(1)!.start, 1);
    tree.clear();
    assert.equal(tree.find(1), undefined);
    assert.equal(tree.first(), undefined);
    assert.equal(tree.last(), undefined);
    assert.equal(tree.before(5), undefined);
    assert.equal(tree.findGapDown(1, 0, 10), 9);
  });
});
