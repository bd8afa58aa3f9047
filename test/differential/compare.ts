/** Compares what engines made of the same runs, and narrows a difference down to an instruction. */

import { fName, xName } from './context.ts';
import type { Engine, Outcome } from './engine.ts';
import {
  buildImage,
  FCSR_AT,
  F_AT,
  type Image,
  OUTPUT_BYTES,
  type Run,
  WINDOW,
  WINDOW_AT,
} from './image.ts';

/** How many runs differ between two engines. */
export interface Pair {
  readonly left: string;
  readonly right: string;
  mismatches: number;
}

/** Each engine beside the first one. */
export function pairsOf(engines: readonly Engine[]): Pair[] {
  const left = engines[0]!.name;
  return engines.slice(1).map((right) => ({ left, right: right.name, mismatches: 0 }));
}

/** Runs `image` on all engines; those in other processes go first, to work meanwhile. */
export async function runAll(engines: readonly Engine[], image: Image): Promise<Outcome[]> {
  const started = engines.map((engine) => (engine.name === 'qemu' ? engine.run(image) : null));
  const outcomes: Outcome[] = [];
  for (const [n, engine] of engines.entries()) {
    outcomes.push(await (started[n] ?? engine.run(image)));
  }
  return outcomes;
}

function outputOf(outcome: Outcome, run: number): Buffer {
  const { buffer, byteOffset, length } = outcome.output;
  const from = Math.min(run * OUTPUT_BYTES, length);
  return Buffer.from(buffer, byteOffset + from, Math.min(OUTPUT_BYTES, length - from));
}

function sameOutput(a: Outcome, b: Outcome, run: number): boolean {
  const left = outputOf(a, run);
  return left.length === OUTPUT_BYTES && left.equals(outputOf(b, run));
}

/** Adds the runs that differ to `pairs`. @returns the first run that does, or -1. */
export function countMismatches(outcomes: readonly Outcome[], runs: number, pairs: Pair[]): number {
  let first = -1;
  for (const [n, pair] of pairs.entries()) {
    for (let run = 0; run < runs; run++) {
      if (sameOutput(outcomes[0]!, outcomes[n + 1]!, run)) continue;
      pair.mismatches++;
      if (first < 0 || run < first) first = run;
    }
  }
  return first;
}

function agree(outcomes: readonly Outcome[]): boolean {
  return outcomes.every((o) => o.trouble === null && sameOutput(outcomes[0]!, o, 0));
}

/** Finds a run that fails on its own; an engine that stopped wrote nothing that would tell. */
export async function findFailingRun(
  engines: readonly Engine[],
  runs: readonly Run[],
): Promise<Run | null> {
  if (runs.length === 0) return null;
  const outcomes = await runAll(engines, buildImage(runs));
  const pairs = pairsOf(engines);
  const first = countMismatches(outcomes, runs.length, pairs);
  if (first < 0) return null;
  if (outcomes.every((o) => o.trouble === null)) return runs[first]!;
  if (runs.length === 1) return runs[0]!;
  const middle = runs.length >> 1;
  return (
    (await findFailingRun(engines, runs.slice(0, middle))) ??
    (await findFailingRun(engines, runs.slice(middle)))
  );
}

/** `run` with its program cut off after `length` instructions. */
function prefix(run: Run, length: number): Run {
  const { insns, reserved } = run.program;
  return { program: { insns: insns.slice(0, length), reserved }, record: run.record };
}

function hex(bytes: Buffer, at: number): string {
  return bytes.length < at + 8
    ? '-'
    : `0x${bytes.readBigUInt64LE(at).toString(16).padStart(16, '0')}`;
}

function fieldName(at: number): string {
  if (at < F_AT) return xName(at / 8);
  if (at < FCSR_AT) return fName((at - F_AT) / 8);
  if (at < WINDOW_AT) return 'fcsr';
  return `mem[0x${(WINDOW + at - WINDOW_AT).toString(16)}]`;
}

/** Registers named in `texts`, with the values in `state`. */
function operands(texts: readonly string[], state: Buffer): string {
  const named = new Set(texts.flatMap((text) => text.match(/\b[a-z]+\d*\b/g) ?? []));
  const values: string[] = [];
  for (let at = 0; at < WINDOW_AT; at += 8) {
    const name = fieldName(at);
    if (named.has(name) || name === 'fcsr') values.push(`${name}=${hex(state, at)}`);
  }
  return values.join(' ');
}

/** Where a program first goes wrong, as text: instruction, operands, and each engine's results. */
export async function explain(engines: readonly Engine[], run: Run, seed: string): Promise<string> {
  const { insns } = run.program;
  let before = Buffer.from(run.record.buffer, run.record.byteOffset, OUTPUT_BYTES);
  let start = 0;
  for (let length = 1; length <= insns.length; length++) {
    if (insns[length]?.joined === true) continue;
    const outcomes = await runAll(engines, buildImage([prefix(run, length)]));
    if (agree(outcomes)) {
      before = outputOf(outcomes[0]!, 0);
      start = length;
      continue;
    }
    const guilty = insns.slice(start, length);
    const texts = guilty.map((insn) => insn.text);
    const lines = [`seed ${seed}, instruction ${start} of ${insns.length}`];
    for (const insn of guilty) {
      const digits = insn.size * 2;
      const word = (insn.word >>> 0).toString(16).padStart(digits, '0').slice(-digits);
      lines.push(`  ${word}  ${insn.text}`);
    }
    lines.push(`  before: ${operands(texts, before)}`);
    return [...lines, ...differences(engines, outcomes)].join('\n');
  }
  return `seed ${seed}: the program differs only when run after others`;
}

function differences(engines: readonly Engine[], outcomes: readonly Outcome[]): string[] {
  const lines: string[] = [];
  for (const [n, outcome] of outcomes.entries()) {
    if (outcome.trouble !== null) lines.push(`  ${engines[n]!.name}: ${outcome.trouble}`);
  }
  const outputs = outcomes.map((outcome) => outputOf(outcome, 0));
  for (let at = 0; at < OUTPUT_BYTES; at += 8) {
    const values = outputs.map((output) => hex(output, at));
    if (values.every((value) => value === values[0])) continue;
    const results = values.map((value, n) => `${engines[n]!.name} ${value}`).join('  ');
    lines.push(`  ${fieldName(at)}: ${results}`);
  }
  return lines;
}
