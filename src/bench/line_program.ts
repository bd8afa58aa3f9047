/**
 * A benchmark program that set up once and then answers requests, a line each: the same protocol
 * natively and in a machine, so that rounds of all modes can be interleaved in one run.
 */

import { spawn } from 'node:child_process';
import { type Interface, createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { Machine } from '../machine/machine.ts';
import { guestProgram } from './guest_files.ts';

/** How a mode of a benchmark starts its program. */
export interface BenchMode {
  readonly name: 'native' | 'default' | 'cow-pte';
  start(program: string, args: readonly string[]): LineProgram;
}

interface Ended {
  /** What to say when the program ends before its answer does. */
  readonly how: Promise<string>;
}

/** A running program; every call waits for the answer of the one before. */
export class LineProgram {
  private readonly lines: AsyncIterator<string>;
  private readonly reader: Interface;
  private readonly stdin: Writable;
  private readonly ended: Ended;
  private readonly name: string;

  constructor(name: string, stdin: Writable, stdout: Readable, ended: Ended) {
    this.name = name;
    this.stdin = stdin;
    this.ended = ended;
    this.reader = createInterface({ input: stdout, crlfDelay: Number.POSITIVE_INFINITY });
    this.lines = this.reader[Symbol.asyncIterator]();
  }

  /** Lines up to and without the first that `isLast` accepts; that one is the last element. */
  async readUntil(isLast: (line: string) => boolean): Promise<string[]> {
    const answer: string[] = [];
    for (;;) {
      const { value, done } = await this.lines.next();
      if (done === true) throw await this.endedEarly(answer);
      answer.push(value);
      if (isLast(value)) return answer;
    }
  }

  /** Sends one request and returns the answer, its last line included. */
  request(line: string, isLast: (line: string) => boolean): Promise<string[]> {
    this.stdin.write(`${line}\n`);
    return this.readUntil(isLast);
  }

  /** Ends the input and waits for the program to end. */
  async close(): Promise<void> {
    this.stdin.end();
    await this.ended.how;
    this.reader.close();
  }

  private async endedEarly(answer: readonly string[]): Promise<Error> {
    const said = answer.length > 0 ? `, its last line: ${answer.at(-1)}` : '';
    return new Error(`Cannot measure ${this.name}: the program ${await this.ended.how}${said}`);
  }
}

function describeEnd({ code, signal }: { code: number | null; signal: string | null }): string {
  return signal === null ? `ended with ${code}` : `was killed by ${signal}`;
}

/** Starts programs of a native build. */
export function nativeMode(path: (name: string) => string): BenchMode {
  return {
    name: 'native',
    start(program, args) {
      const child = spawn(path(program), args, { stdio: ['pipe', 'pipe', 'inherit'] });
      const how = new Promise<string>((resolve) => {
        child.on('error', (error) => resolve(`did not start: ${error.message}`));
        child.on('exit', (code, signal) => resolve(describeEnd({ code, signal })));
      });
      return new LineProgram(`native ${program}`, child.stdin, child.stdout, { how });
    },
  };
}

/** Starts programs in one machine, which stays for the whole benchmark. */
export function machineMode(name: 'default' | 'cow-pte', machine: Machine): BenchMode {
  return {
    name,
    start(program, args) {
      const path = `/tmp/${program}`;
      machine.writeFile(path, guestProgram(program), 0o755);
      const guest = machine.spawn(path, [program, ...args], { stdin: 'pipe', stdout: 'pipe' });
      const how = guest.wait().then(describeEnd);
      return new LineProgram(`${name} ${program}`, guest.stdin, guest.stdout, { how });
    },
  };
}
