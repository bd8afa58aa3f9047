import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type Plot,
  axisOf,
  barPlot,
  dotPlot,
  linePlot,
  linearTicks,
  logTicks,
} from '../../../src/bench/plot.ts';

const plot: Plot = {
  title: 'a "plot" of <b>',
  unit: 'ms',
  labels: ['one & two', 'three'],
  scale: 'log',
  series: [
    { name: 'native', label: 'native', values: [2, 40] },
    { name: 'jit', label: 'JIT', values: [30, null] },
  ],
};

/** Values of one attribute, in the order of the elements. */
function attribute(svg: string, element: string, name: string): number[] {
  const tags = svg.match(new RegExp(`<${element} [^>]*>`, 'g')) ?? [];
  return tags.map((tag) => Number(new RegExp(` ${name}="([^"]*)"`).exec(tag)?.[1]));
}

/** Fails unless each element is closed in its order. */
function checkNesting(svg: string): void {
  const open: string[] = [];
  for (const [, close, name, , empty] of svg.matchAll(
    /<(\/?)([a-z]+)((?:[^<>]|"[^"]*")*?)(\/?)>/g,
  )) {
    if (close === '/') assert.equal(open.pop(), name);
    else if (empty !== '/') open.push(name!);
  }
  assert.deepEqual(open, []);
}

describe('linearTicks()', () => {
  it('goes in round steps from 0 to the first that is not below the greatest value', () => {
    assert.deepEqual(linearTicks(540), [0, 100, 200, 300, 400, 500, 600]);
    assert.deepEqual(linearTicks(6), [0, 1, 2, 3, 4, 5, 6]);
    assert.deepEqual(
      linearTicks(0.7).map((tick) => tick.toFixed(1)),
      ['0.0', '0.2', '0.4', '0.6', '0.8'],
    );
    assert.deepEqual(linearTicks(0), [0, 1]);
  });
});

describe('logTicks()', () => {
  it('has the ends around all values', () => {
    assert.deepEqual(logTicks(3, 40), [2, 5, 10, 20, 50]);
    assert.deepEqual(logTicks(10, 100), [10, 20, 50, 100]);
  });

  it('has powers of ten alone where values span decades', () => {
    assert.deepEqual(logTicks(3, 20_000), [1, 10, 100, 1000, 10_000, 100_000]);
  });
});

describe('axisOf()', () => {
  it('gives equal ratios equal lengths on a logarithmic scale', () => {
    const { at, ticks } = axisOf(plot, 0, 100);
    assert.deepEqual([at(ticks[0]!), at(ticks.at(-1)!)], [0, 100]);
    assert.ok(Math.abs(at(8) - at(4) - (at(4) - at(2))) < 1e-9);
  });

  it('keeps what is not positive at the end of a logarithmic scale', () => {
    assert.equal(axisOf(plot, 10, 110).at(0), 10);
  });

  it('takes in the reference', () => {
    const { ticks } = axisOf({ ...plot, reference: 300 }, 0, 100);
    assert.ok(ticks.at(-1)! >= 300);
  });

  it('has a length for no value and for one', () => {
    for (const values of [[null], [10]]) {
      const { at, ticks } = axisOf({ ...plot, series: [{ ...plot.series[0]!, values }] }, 0, 100);
      assert.equal(at(ticks.at(-1)!), 100);
    }
  });
});

describe('barPlot()', () => {
  it('draws bars from 0 whose lengths are as the values, and none for a missing one', () => {
    const svg = barPlot({ ...plot, scale: 'linear' });
    // The first two are of the legend.
    const [two, thirty, forty, ...more] = attribute(svg, 'rect', 'width').slice(2);
    assert.deepEqual(more, []);
    assert.ok(Math.abs(forty! / two! - 20) < 0.1);
    assert.ok(Math.abs(thirty! / two! - 15) < 0.1);
    checkNesting(svg);
  });
});

describe('dotPlot()', () => {
  it('puts greater values further right, in the row of their label', () => {
    const svg = dotPlot({ ...plot, reference: 1 });
    const [x1, x2, x3, ...more] = attribute(svg, 'circle', 'cx');
    assert.deepEqual(more, []);
    assert.ok(x1! < x2! && x2! < x3!);
    const [y1, y2, y3] = attribute(svg, 'circle', 'cy');
    assert.ok(y1 === y2 && y3! > y2!);
    assert.match(svg, /class="reference"/);
    checkNesting(svg);
  });
});

describe('linePlot()', () => {
  it('puts greater values higher and says what a point stands for', () => {
    const svg = linePlot(plot);
    const [y1, y2] = attribute(svg, 'circle', 'cy');
    assert.ok(y2! < y1!);
    assert.match(svg, /<title>one &amp; two, JIT: 30.0 ms<\/title>/);
    assert.match(svg, /aria-label="a &quot;plot&quot; of &lt;b&gt;"/);
    checkNesting(svg);
  });
});
