/**
 * Plots as SVG text: a line for each series over ordered columns, or a mark for each series in each
 * row. Colours are classes, `s-` and the name of the series, which the page defines for light and
 * dark.
 */

import { significant } from './table.ts';

/** Values of one series, in the order of the plot's labels; null where there is none. */
export interface Series {
  /** Name of its class, too. */
  readonly name: string;
  readonly label: string;
  readonly values: readonly (number | null)[];
}

export interface Plot {
  readonly title: string;
  /** Of the values, behind the numbers. */
  readonly unit: string;
  /** Of rows or columns. */
  readonly labels: readonly string[];
  readonly series: readonly Series[];
  /** Times that span decades need `log`; bars must be `linear`, since they start at 0. */
  readonly scale: 'linear' | 'log';
  /** A value to compare with, such as 1 for a ratio. */
  readonly reference?: number | undefined;
}

/** An axis: where values lie between two positions, and which it names. */
export interface Axis {
  readonly at: (value: number) => number;
  readonly ticks: readonly number[];
}

const WIDTH = 780;
const LABEL_WIDTH = 184;
/** The same of a plot of lines, whose labels there are numbers. */
const LINE_LABEL_WIDTH = 66;
const RIGHT = 24;
const LEGEND_HEIGHT = 30;
const AXIS_HEIGHT = 26;
const LINE_HEIGHT = 260;
const BAR_HEIGHT = 13;
const DOT_ROW_HEIGHT = 24;
const ROW_GAP = 11;
/** About what a letter of a label takes. */
const LETTER = 7.2;
const MOST_TICKS = 6;

export function escapeXml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

function knownValues({ series, reference }: Plot): number[] {
  const values = series.flatMap(({ values: all }) => all).filter((value) => value !== null);
  return reference === undefined ? values : [...values, reference];
}

/** 0 and multiples of 1, 2 or 5 times a power of ten, to the first that is not below `most`. */
export function linearTicks(most: number): number[] {
  if (!(most > 0)) return [0, 1];
  const power = 10 ** Math.floor(Math.log10(most / MOST_TICKS));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => most / n <= MOST_TICKS)!;
  const count = Math.ceil(most / step - 1e-9);
  return Array.from({ length: count + 1 }, (_, i) => i * step);
}

/** Powers of ten around the values; 2 and 5 times them, too, where that is not too many. */
export function logTicks(least: number, most: number): number[] {
  const factors = Math.log10(most / least) > 2.5 ? [1] : [1, 2, 5];
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(least)); power <= Math.ceil(Math.log10(most)); power++)
    ticks.push(...factors.map((n) => n * 10 ** power));
  const first = Math.max(
    0,
    ticks.findLastIndex((tick) => tick <= least * (1 + 1e-9)),
  );
  const last = ticks.findIndex((tick) => tick >= most * (1 - 1e-9));
  return ticks.slice(first, last + 1);
}

/** An axis for all values of a plot. @param from, to positions of its ends. */
export function axisOf(plot: Plot, from: number, to: number): Axis {
  const values = knownValues(plot);
  if (plot.scale === 'linear') {
    const ticks = linearTicks(Math.max(...values, 0));
    return { at: (value) => from + ((to - from) * value) / ticks.at(-1)!, ticks };
  }
  const positive = values.filter((value) => value > 0);
  const ticks =
    positive.length === 0 ? [1, 10] : logTicks(Math.min(...positive), Math.max(...positive));
  // One value that is a tick itself makes an axis of no length.
  if (ticks.length === 1) ticks.push(ticks[0]! * 10);
  const [least, most] = [Math.log(ticks[0]!), Math.log(ticks.at(-1)!)];
  const clamp = (value: number): number => Math.log(Math.max(value, ticks[0]!));
  return { at: (value) => from + ((to - from) * (clamp(value) - least)) / (most - least), ticks };
}

function number(value: number): string {
  return String(Math.round(value * 10) / 10);
}

/** Numbers of ticks: 1000 as 1,000 and 0.5 as it is. */
function tickText(tick: number): string {
  return tick >= 1 ? Math.round(tick).toLocaleString('en-US') : String(Number(tick.toPrecision(3)));
}

function textAt(x: number, y: number, text: string, anchor: string, className = ''): string {
  const attributes = `x="${number(x)}" y="${number(y)}" text-anchor="${anchor}"`;
  return `<text ${attributes}${className && ` class="${className}"`}>${escapeXml(text)}</text>`;
}

function lineAt(x1: number, y1: number, x2: number, y2: number, className: string): string {
  const [a, b, c, d] = [x1, y1, x2, y2].map(number);
  return `<line x1="${a}" y1="${b}" x2="${c}" y2="${d}" class="${className}"/>`;
}

/** What a mark stands for, shown when the pointer rests on it. */
function tip(label: string, series: Series, value: number, unit: string): string {
  const text = `${label}, ${series.label}: ${significant(value)} ${unit}`;
  return `<title>${escapeXml(text.trim())}</title>`;
}

function legend(plot: Plot): string {
  let x = LABEL_WIDTH;
  const parts = plot.series.map(({ name, label }) => {
    const part = `<rect x="${number(x)}" y="6" width="11" height="11" rx="2" class="s-${name}"/>${textAt(x + 16, 16, label, 'start')}`;
    x += 36 + label.length * LETTER;
    return part;
  });
  return parts.join('') + textAt(WIDTH - RIGHT, 16, plot.unit, 'end', 'unit');
}

function svg(plot: Plot, height: number, parts: readonly string[]): string {
  const label = escapeXml(plot.title);
  return [
    `<svg viewBox="0 0 ${WIDTH} ${number(height)}" role="img" aria-label="${label}">`,
    legend(plot),
    ...parts,
    '</svg>',
  ].join('\n');
}

/** Rows of bars, a bar for each series. */
export function barPlot(plot: Plot): string {
  const rowHeight = plot.series.length * BAR_HEIGHT + ROW_GAP;
  const bottom = LEGEND_HEIGHT + plot.labels.length * rowHeight;
  // The longest bar leaves room for its number.
  const axis = axisOf(plot, LABEL_WIDTH, WIDTH - RIGHT - 64);
  const bars = plot.labels.flatMap((label, row) => {
    const top = LEGEND_HEIGHT + row * rowHeight + ROW_GAP / 2;
    const middle = top + (plot.series.length * BAR_HEIGHT) / 2;
    const marks = plot.series.map((series, i) => {
      const value = series.values[row] ?? null;
      if (value === null) return '';
      const y = top + i * BAR_HEIGHT;
      const end = axis.at(Math.max(value, 0));
      const size = `width="${number(end - LABEL_WIDTH)}" height="${BAR_HEIGHT - 2}"`;
      const bar = `<rect x="${LABEL_WIDTH}" y="${number(y)}" ${size} class="s-${series.name}">${tip(label, series, value, plot.unit)}</rect>`;
      return bar + textAt(end + 5, y + BAR_HEIGHT - 4, significant(value), 'start', 'value');
    });
    return [textAt(LABEL_WIDTH - 10, middle + 4, label, 'end'), ...marks];
  });
  return svg(plot, bottom + AXIS_HEIGHT, [...verticalGrid(plot, axis, bottom), ...bars]);
}

/** Lines across the rows at each tick. */
function verticalGrid(plot: Plot, axis: Axis, bottom: number): string[] {
  const grid = axis.ticks.flatMap((tick) => {
    const x = axis.at(tick);
    return [
      lineAt(x, LEGEND_HEIGHT, x, bottom, 'grid'),
      textAt(x, bottom + 17, tickText(tick), 'middle', 'tick'),
    ];
  });
  if (plot.reference === undefined) return grid;
  const x = axis.at(plot.reference);
  return [...grid, lineAt(x, LEGEND_HEIGHT, x, bottom, 'reference')];
}

/** Rows of dots, joined from the least value to the greatest. */
export function dotPlot(plot: Plot): string {
  const bottom = LEGEND_HEIGHT + plot.labels.length * DOT_ROW_HEIGHT;
  const axis = axisOf(plot, LABEL_WIDTH, WIDTH - RIGHT);
  const rows = plot.labels.flatMap((label, row) => {
    const y = LEGEND_HEIGHT + (row + 0.5) * DOT_ROW_HEIGHT;
    const known = plot.series.flatMap((series) => {
      const value = series.values[row] ?? null;
      return value === null ? [] : [{ series, value, x: axis.at(value) }];
    });
    const ends = known.map(({ x }) => x);
    const span = known.length > 1 ? lineAt(Math.min(...ends), y, Math.max(...ends), y, 'span') : '';
    const dots = known.map(
      ({ series, value, x }) =>
        `<circle cx="${number(x)}" cy="${number(y)}" r="5.5" class="s-${series.name}">${tip(label, series, value, plot.unit)}</circle>`,
    );
    return [textAt(LABEL_WIDTH - 10, y + 4, label, 'end'), span, ...dots];
  });
  return svg(plot, bottom + AXIS_HEIGHT, [...verticalGrid(plot, axis, bottom), ...rows]);
}

function seriesLine(plot: Plot, series: Series, axis: Axis, xOf: (i: number) => number): string[] {
  const points = series.values.flatMap((value, i) =>
    value === null ? [] : [{ value, label: plot.labels[i] ?? '', x: xOf(i), y: axis.at(value) }],
  );
  const path = points.map(({ x, y }) => `${number(x)},${number(y)}`).join(' ');
  return [
    `<polyline points="${path}" class="l-${series.name}"/>`,
    ...points.map(
      ({ value, label, x, y }) =>
        `<circle cx="${number(x)}" cy="${number(y)}" r="4.5" class="s-${series.name}">${tip(label, series, value, plot.unit)}</circle>`,
    ),
  ];
}

/** A line for each series; columns are evenly spaced, whatever their labels say. */
export function linePlot(plot: Plot): string {
  const bottom = LEGEND_HEIGHT + LINE_HEIGHT;
  const left = LINE_LABEL_WIDTH;
  const axis = axisOf(plot, bottom, LEGEND_HEIGHT + 8);
  const step = (WIDTH - RIGHT - left) / plot.labels.length;
  const xOf = (i: number): number => left + (i + 0.5) * step;
  const grid = axis.ticks.flatMap((tick) => [
    lineAt(left, axis.at(tick), WIDTH - RIGHT, axis.at(tick), 'grid'),
    textAt(left - 8, axis.at(tick) + 4, tickText(tick), 'end', 'tick'),
  ]);
  const labels = plot.labels.map((label, i) => textAt(xOf(i), bottom + 18, label, 'middle'));
  const lines = plot.series.flatMap((series) => seriesLine(plot, series, axis, xOf));
  return svg(plot, bottom + AXIS_HEIGHT, [...grid, ...labels, ...lines]);
}
