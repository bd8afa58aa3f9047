/**
 * Draws the progress of long steps on standard error: a bar on a terminal, plain lines elsewhere.
 * Steps that are over within a moment are not shown at all.
 */

import type { PullReport } from '../debian/report.ts';
import { formatBytes } from './size.ts';

/** Milliseconds until a step is shown. */
const TERMINAL_DELAY_MS = 200;
const LINES_DELAY_MS = 1000;
/** Milliseconds between two pictures of the bar, and between two plain lines. */
const REDRAW_MS = 100;
const LINE_PERIOD_MS = 5000;
const BAR_CELLS = 30;
/** Clears the line the cursor is in and returns to its start. */
const CLEAR_LINE = '\r\x1b[K';

interface Step {
  readonly label: string;
  readonly total: number;
  readonly started: number;
  done: number;
  /** When it was last shown; 0 for never. */
  shown: number;
}

/** Writes `Action: cause` lines and progress of a pull. */
export class ProgressDisplay implements PullReport {
  private step: Step | null = null;
  private readonly stream: NodeJS.WriteStream;
  private readonly quiet: boolean;

  constructor(stream: NodeJS.WriteStream, quiet: boolean) {
    this.stream = stream;
    this.quiet = quiet;
  }

  say(line: string): void {
    this.clear();
    this.stream.write(`${line}\n`);
  }

  begin(label: string, total: number): void {
    this.step = { label, total, started: Date.now(), done: 0, shown: 0 };
  }

  advance(bytes: number): void {
    const { step } = this;
    if (step === null) return;
    step.done += bytes;
    if (this.quiet || step.done <= 0) return;
    const now = Date.now();
    const terminal = this.stream.isTTY;
    if (now - step.started < (terminal ? TERMINAL_DELAY_MS : LINES_DELAY_MS)) return;
    if (now - step.shown < (terminal ? REDRAW_MS : LINE_PERIOD_MS)) return;
    step.shown = now;
    this.stream.write(
      terminal ? `${CLEAR_LINE}${this.barText(step, now)}` : `${this.lineText(step)}\n`,
    );
  }

  end(): void {
    this.clear();
    this.step = null;
  }

  private clear(): void {
    if (this.step !== null && this.step.shown > 0 && this.stream.isTTY)
      this.stream.write(CLEAR_LINE);
  }

  private lineText(step: Step): string {
    return `${step.label}: ${formatBytes(step.done)} of ${formatBytes(step.total)}`;
  }

  private barText(step: Step, now: number): string {
    const part = step.total === 0 ? 1 : Math.min(Math.max(step.done / step.total, 0), 1);
    const filled = Math.round(part * BAR_CELLS);
    const bar = '#'.repeat(filled) + '.'.repeat(BAR_CELLS - filled);
    const rate = step.done / ((now - step.started) / 1000);
    const text = `${step.label} [${bar}] ${Math.floor(part * 100)}% of ${formatBytes(step.total)}, ${formatBytes(rate)}/s`;
    return text.slice(0, Math.max((this.stream.columns || 80) - 1, 20));
  }
}
