/**
 * The line discipline: what a user types becomes lines, echo and signals; what a program
 * prints gets its newlines translated.
 *
 * @linux drivers/tty/n_tty.c
 */

import { WaitQueue } from '../lib/wait_queue.ts';
import * as io from '../uapi/ioctl.ts';
import { SIGINT, SIGQUIT, SIGTSTP } from '../uapi/signal.ts';
import type { HostStream } from './console.ts';
import { initialTermios, type Termios } from './termios.ts';

const NL = 10;
const CR = 13;
const BS = 8;
const TAB = 9;
const SPACE = 32;
const DEL = 127;
/** "No character": a disabled entry of c_cc. */
const DISABLED = 0;
/** Bytes of a line that is being typed. @linux N_TTY_BUF_SIZE */
const LINE_MAX = 4096;
/** Bytes typed ahead that are kept. */
const INPUT_MAX = 65536;

export class TtyLine {
  readonly host: HostStream;
  termios: Termios = initialTermios();
  readonly readQueue = new WaitQueue();
  /** The user will type no more. */
  ended = false;
  /** ^S was typed. */
  stopped = false;
  /** The line being typed. */
  editing: number[] = [];
  /** The next character is taken as it is (^V). */
  literal = false;
  /** Bytes that programs may read, oldest first; an empty one is an end of file. */
  private readonly ready: Uint8Array[] = [];
  /** Bytes in `ready`. */
  inputBytes = 0;
  readonly raise: (sig: number) => void;

  constructor(host: HostStream, raise: (sig: number) => void) {
    this.host = host;
    this.raise = raise;
  }

  get canonical(): boolean {
    return (this.termios.lflag & io.ICANON) !== 0;
  }

  get inputReady(): boolean {
    if (this.ready.length === 0) return false;
    return this.canonical || this.inputBytes >= Math.max(1, this.termios.cc[io.VMIN]!);
  }

  /** What a read gets: at most one line in canonical mode, whatever is there otherwise; null = nothing. */
  takeInput(max: number): Uint8Array | null {
    if (!this.inputReady) return null;
    const first = this.ready[0]!;
    if (first.length > max) {
      this.ready[0] = first.subarray(max);
      this.inputBytes -= max;
      return first.subarray(0, max);
    }
    this.ready.shift();
    this.inputBytes -= first.length;
    if (this.canonical) return first;
    // An end of file typed earlier means nothing in raw mode.
    return first.length === 0 ? this.takeInput(max) : this.takeMore(first, max);
  }

  private takeMore(first: Uint8Array, max: number): Uint8Array {
    const next = this.ready[0];
    if (next === undefined || first.length + next.length > max) return first;
    this.ready.shift();
    this.inputBytes -= next.length;
    const both = new Uint8Array(first.length + next.length);
    both.set(first);
    both.set(next, first.length);
    return this.takeMore(both, max);
  }

  addInput(bytes: Uint8Array): void {
    if (this.inputBytes + bytes.length > INPUT_MAX) return;
    this.ready.push(bytes);
    this.inputBytes += bytes.length;
  }

  dropInput(): void {
    this.ready.length = 0;
    this.inputBytes = 0;
    this.editing = [];
  }

  setTermios(termios: Termios): void {
    const wasCanonical = this.canonical;
    this.termios = termios;
    // A half-typed line becomes readable when lines stop to matter.
    if (wasCanonical && !this.canonical && this.editing.length > 0) {
      this.addInput(Uint8Array.from(this.editing));
      this.editing = [];
      this.readQueue.wakeAll();
    }
    if ((termios.iflag & io.IXON) === 0) this.start();
  }

  /** Output resumes. */
  start(): void {
    if (!this.stopped) return;
    this.stopped = false;
    this.host.writeQueue.wakeAll();
  }

  /** Gives a program's output to the host. */
  print(data: Uint8Array): void {
    const { oflag } = this.termios;
    if ((oflag & io.OPOST) === 0 || (oflag & io.ONLCR) === 0 || !data.includes(NL)) {
      this.host.send(data.slice());
      return;
    }
    const out: number[] = [];
    for (const byte of data) {
      if (byte === NL) out.push(CR);
      out.push(byte);
    }
    this.host.send(Uint8Array.from(out));
  }
}

export function ttyFlushInput(line: TtyLine): void {
  line.dropInput();
}

function echo(line: TtyLine, bytes: readonly number[]): void {
  if (bytes.length > 0) line.print(Uint8Array.from(bytes));
}

function isControl(byte: number): boolean {
  return byte < SPACE || byte === DEL;
}

/** How a typed byte shows: `^C` for control characters. */
function echoForm(line: TtyLine, byte: number): number[] {
  const plain = byte === NL || byte === TAB || !isControl(byte);
  if (plain || (line.termios.lflag & io.ECHOCTL) === 0) return [byte];
  return ['^'.charCodeAt(0), byte ^ 0x40];
}

function echoByte(line: TtyLine, byte: number): void {
  const { lflag } = line.termios;
  if ((lflag & io.ECHO) !== 0) echo(line, echoForm(line, byte));
  else if (byte === NL && (lflag & io.ECHONL) !== 0 && line.canonical) echo(line, [NL]);
}

/** Whether a byte continues a UTF-8 character. */
function isContinuation(line: TtyLine, byte: number): boolean {
  return (line.termios.iflag & io.IUTF8) !== 0 && (byte & 0xc0) === 0x80;
}

/** Takes the last character off the line and off the screen. */
function eraseChar(line: TtyLine): void {
  const { editing } = line;
  let byte = editing.pop();
  if (byte === undefined) return;
  while (byte !== undefined && isContinuation(line, byte)) byte = editing.pop();
  const { lflag } = line.termios;
  if ((lflag & io.ECHO) === 0 || (lflag & io.ECHOE) === 0) return;
  const width = byte === undefined ? 1 : echoForm(line, byte).length;
  for (let i = 0; i < width; i++) echo(line, [BS, SPACE, BS]);
}

function eraseWord(line: TtyLine): void {
  const { editing } = line;
  while (editing.length > 0 && editing.at(-1) === SPACE) eraseChar(line);
  while (editing.length > 0 && editing.at(-1) !== SPACE) eraseChar(line);
}

function killLine(line: TtyLine): void {
  const { lflag } = line.termios;
  if ((lflag & io.ECHOKE) !== 0 && (lflag & io.ECHOE) !== 0) {
    while (line.editing.length > 0) eraseChar(line);
    return;
  }
  line.editing = [];
  if ((lflag & io.ECHOK) !== 0) echo(line, [NL]);
}

function reprint(line: TtyLine): void {
  echo(line, echoForm(line, line.termios.cc[io.VREPRINT]!));
  echo(line, [NL, ...line.editing.flatMap((byte) => echoForm(line, byte))]);
}

function endLine(line: TtyLine): void {
  line.addInput(Uint8Array.from(line.editing));
  line.editing = [];
  line.readQueue.wakeAll();
}

function isChar(line: TtyLine, index: number, byte: number): boolean {
  const wanted = line.termios.cc[index]!;
  return wanted !== DISABLED && byte === wanted;
}

/** ^C, ^\ and ^Z. @returns true when the byte was one. */
function signalChar(line: TtyLine, byte: number): boolean {
  if ((line.termios.lflag & io.ISIG) === 0) return false;
  let sig = 0;
  if (isChar(line, io.VINTR, byte)) sig = SIGINT;
  else if (isChar(line, io.VQUIT, byte)) sig = SIGQUIT;
  else if (isChar(line, io.VSUSP, byte)) sig = SIGTSTP;
  if (sig === 0) return false;
  if ((line.termios.lflag & io.NOFLSH) === 0) line.dropInput();
  line.start();
  echoByte(line, byte);
  line.raise(sig);
  return true;
}

/** ^S and ^Q. @returns true when the byte was one. */
function flowChar(line: TtyLine, byte: number): boolean {
  if ((line.termios.iflag & io.IXON) === 0) return false;
  if (isChar(line, io.VSTART, byte)) line.start();
  else if (isChar(line, io.VSTOP, byte)) line.stopped = true;
  else return false;
  return true;
}

/** Editing keys of canonical mode. @returns true when the byte was one. */
function editChar(line: TtyLine, byte: number): boolean {
  const extended = (line.termios.lflag & io.IEXTEN) !== 0;
  if (isChar(line, io.VERASE, byte)) eraseChar(line);
  else if (isChar(line, io.VKILL, byte)) killLine(line);
  else if (extended && isChar(line, io.VWERASE, byte)) eraseWord(line);
  else if (extended && isChar(line, io.VREPRINT, byte)) reprint(line);
  else if (isChar(line, io.VEOF, byte)) endLine(line);
  else return false;
  return true;
}

function insert(line: TtyLine, byte: number): void {
  if (line.editing.length < LINE_MAX - 1) {
    line.editing.push(byte);
    echoByte(line, byte);
  }
}

function canonicalChar(line: TtyLine, byte: number): void {
  if (line.literal) {
    line.literal = false;
    insert(line, byte);
    return;
  }
  if ((line.termios.lflag & io.IEXTEN) !== 0 && isChar(line, io.VLNEXT, byte)) {
    line.literal = true;
    return;
  }
  if (editChar(line, byte)) return;
  if (byte === NL || isChar(line, io.VEOL, byte) || isChar(line, io.VEOL2, byte)) {
    line.editing.push(byte);
    echoByte(line, byte);
    endLine(line);
    return;
  }
  insert(line, byte);
}

/** Input translation. @returns the byte, or -1 when it is dropped. */
function translate(iflag: number, typed: number): number {
  const byte = (iflag & io.ISTRIP) !== 0 ? typed & 0x7f : typed;
  if (byte === CR) {
    if ((iflag & io.IGNCR) !== 0) return -1;
    return (iflag & io.ICRNL) !== 0 ? NL : CR;
  }
  return byte === NL && (iflag & io.INLCR) !== 0 ? CR : byte;
}

/** Works on what the user has typed. @linux drivers/tty/n_tty.c:n_tty_receive_buf */
export function ttyProcessInput(line: TtyLine, data: Uint8Array): void {
  const raw: number[] = [];
  for (const typed of data) {
    const byte = translate(line.termios.iflag, typed);
    if (byte < 0) continue;
    if (!line.literal && (signalChar(line, byte) || flowChar(line, byte))) continue;
    if (line.canonical) canonicalChar(line, byte);
    else {
      raw.push(byte);
      echoByte(line, byte);
    }
  }
  if (raw.length > 0) line.addInput(Uint8Array.from(raw));
}
