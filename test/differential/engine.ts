/** What runs an image: the oracle, the processor, or qemu-riscv64. */

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Extension, flatSpace, Rv64, type Trap } from '../oracle/rv64.ts';
import { BASE, type Image, toElf } from './image.ts';

const SYS_WRITE = 64;
const REG_A0 = 10;
const REG_A1 = 11;
const REG_A2 = 12;
const REG_A7 = 17;

/** What came out of an image. */
export interface Outcome {
  /** The bytes written: OUTPUT_BYTES a run. */
  readonly output: Uint8Array;
  /** Why it ended early, or null if it exited as it should. */
  readonly trouble: string | null;
}

/** Instructions that the oracle executed inside the programs, by extension. */
export type Counts = Record<Extension, number>;

function noCounts(): Counts {
  return { I: 0, M: 0, A: 0, F: 0, D: 0, C: 0, Zicsr: 0, Zifencei: 0 };
}

/** Each program ends with two instructions of the frame's. */
const LEAVE_INSTRUCTIONS = 2;

function describeTrap(trap: Trap, pc: bigint): string {
  return `${JSON.stringify(trap, (_, v: unknown) => (typeof v === 'bigint' ? `0x${v.toString(16)}` : v))} at 0x${pc.toString(16)}`;
}

/** Runs `image` on the oracle and adds what its programs executed to `counts`. */
function runOracle(image: Image, counts: Counts): Outcome {
  const memory = new Uint8Array(image.end - BASE);
  memory.set(image.bytes);
  const hart = new Rv64(flatSpace(memory, BigInt(BASE)), BigInt(image.entry));
  const frameCounts = noCounts();
  const start = BigInt(image.codeStart);
  const end = BigInt(image.codeEnd);
  const output: Uint8Array[] = [];
  counts.I -= LEAVE_INSTRUCTIONS * image.runs.length;
  for (;;) {
    hart.retiredBy = hart.pc >= start && hart.pc < end ? counts : frameCounts;
    const trap = hart.step();
    if (trap === null) continue;
    const trouble = trap.cause === 'ecall' ? null : describeTrap(trap, hart.pc);
    if (trouble !== null || hart.x[REG_A7] !== BigInt(SYS_WRITE)) {
      return { output: Buffer.concat(output), trouble };
    }
    const at = Number(hart.x[REG_A1]!) - BASE;
    output.push(memory.slice(at, at + Number(hart.x[REG_A2]!)));
    hart.x[REG_A0] = hart.x[REG_A2]!;
    hart.pc += 4n;
  }
}

/** Something that runs images; each is compared with each. */
export interface Engine {
  readonly name: string;
  run(image: Image): Outcome | Promise<Outcome>;
}

const QEMU_NAMES = ['qemu-riscv64', 'qemu-riscv64-static'] as const;

/** The command that starts qemu's user mode, with its version line, or null if there is none. */
export function findQemu(): { command: string; version: string } | null {
  for (const command of QEMU_NAMES) {
    const result = spawnSync(command, ['--version'], { encoding: 'utf8' });
    if (result.status === 0) return { command, version: result.stdout.split('\n')[0] ?? '' };
  }
  return null;
}

/** Runs images in qemu's user mode, each as an executable in a directory of its own. */
export class Qemu implements Engine {
  readonly name = 'qemu';
  private readonly command: string;
  private readonly directory = mkdtempSync(join(tmpdir(), 'isa-'));
  private count = 0;

  constructor(command: string) {
    this.command = command;
  }

  run(image: Image): Promise<Outcome> {
    const file = join(this.directory, `image${this.count++}`);
    writeFileSync(file, toElf(image), { mode: 0o755 });
    return new Promise((resolve, reject) => {
      const child = spawn(this.command, [file], { stdio: ['ignore', 'pipe', 'pipe'] });
      const output: Buffer[] = [];
      let errors = '';
      child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
      child.stderr.on('data', (chunk: Buffer) => {
        errors += chunk.toString();
      });
      child.on('error', reject);
      child.on('close', (code, signal) => {
        rmSync(file, { force: true });
        const trouble = code === 0 ? null : `exit ${code ?? signal}: ${errors.trim()}`;
        resolve({ output: Buffer.concat(output), trouble });
      });
    });
  }

  close(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** The oracle as an engine; `counts` sums up what its programs executed. */
export class Oracle implements Engine {
  readonly name = 'oracle';
  readonly counts = noCounts();

  run(image: Image): Outcome {
    return runOracle(image, this.counts);
  }
}
