/**
 * Hides from programs how fast the host reads what they write, so that a run can be repeated. A
 * stream takes so many bytes in each slice of time, whatever the host does; between two slices
 * the whole machine waits until the host can take more of every stream.
 */

import type { HostStream } from '../fs/console.ts';

/** Output of programs. */
export interface GatedOutput {
  readonly stream: HostStream;
  /** Bytes in this slice. */
  sent: number;
  /** The host has not asked for more. */
  full: boolean;
}

export class OutputGate {
  /** In the order of their creation. */
  readonly outputs = new Set<GatedOutput>();
  /** The host takes more again: the machine can go on. */
  onOpen: (() => void) | null = null;
}

export function addOutput(gate: OutputGate, stream: HostStream): GatedOutput {
  const output = { stream, sent: 0, full: false };
  gate.outputs.add(output);
  return output;
}

/** The stream has ended. */
export function removeOutput(gate: OutputGate, output: GatedOutput): void {
  gate.outputs.delete(output);
  hostTakesMore(gate, output);
}

/** The host asks for more. */
export function hostTakesMore(gate: OutputGate, output: GatedOutput): void {
  if (!output.full) return;
  output.full = false;
  if (!isHeld(gate)) gate.onOpen?.();
}

/** Whether the machine has to wait for the host. */
export function isHeld({ outputs }: OutputGate): boolean {
  for (const { full } of outputs) if (full) return true;
  return false;
}

/** Starts a slice. @returns false if the machine has to wait for the host first. */
export function passGate(gate: OutputGate): boolean {
  if (isHeld(gate)) return false;
  for (const output of gate.outputs) {
    output.sent = 0;
    if (output.stream.congested) output.stream.drained();
  }
  return true;
}
