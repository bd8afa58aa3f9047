/** Terminal settings and their user-space form. @linux include/uapi/asm-generic/termbits.h, drivers/tty/tty_ioctl.c */

import * as io from '../uapi/ioctl.ts';

const DEFAULT_SPEED = 38400;

function control(letter: string): number {
  return letter.charCodeAt(0) & 0x1f;
}

const DEL = 0x7f;

/** c_cc of a new terminal. @linux INIT_C_CC */
function initialCc(): Uint8Array {
  const cc = new Uint8Array(io.NCCS);
  cc[io.VINTR] = control('C');
  cc[io.VQUIT] = control('\\');
  cc[io.VERASE] = DEL;
  cc[io.VKILL] = control('U');
  cc[io.VEOF] = control('D');
  cc[io.VMIN] = 1;
  cc[io.VSTART] = control('Q');
  cc[io.VSTOP] = control('S');
  cc[io.VSUSP] = control('Z');
  cc[io.VREPRINT] = control('R');
  cc[io.VDISCARD] = control('O');
  cc[io.VWERASE] = control('W');
  cc[io.VLNEXT] = control('V');
  return cc;
}

/** Never changed in place: TCSETS replaces it. */
export class Termios {
  readonly iflag: number;
  readonly oflag: number;
  readonly cflag: number;
  readonly lflag: number;
  readonly discipline: number;
  readonly cc: Uint8Array;
  readonly ispeed: number;
  readonly ospeed: number;

  constructor(
    flags: readonly number[],
    discipline: number,
    cc: Uint8Array,
    speeds: readonly number[],
  ) {
    this.iflag = flags[0]!;
    this.oflag = flags[1]!;
    this.cflag = flags[2]!;
    this.lflag = flags[3]!;
    this.discipline = discipline;
    this.cc = cc;
    this.ispeed = speeds[0]!;
    this.ospeed = speeds[1]!;
  }
}

/** @linux tty_std_termios */
export function initialTermios(): Termios {
  const lflag =
    io.ISIG | io.ICANON | io.ECHO | io.ECHOE | io.ECHOK | io.ECHOCTL | io.ECHOKE | io.IEXTEN;
  const flags = [
    io.ICRNL | io.IXON | io.IUTF8,
    io.OPOST | io.ONLCR,
    io.B38400 | io.CS8 | io.CREAD,
    lflag,
  ];
  return new Termios(flags, 0, initialCc(), [DEFAULT_SPEED, DEFAULT_SPEED]);
}

/** @param bytes TERMIOS_BYTES or TERMIOS2_BYTES. */
export function writeTermios(termios: Termios, bytes: number): Uint8Array {
  const out = new Uint8Array(bytes);
  const view = new DataView(out.buffer);
  view.setUint32(0, termios.iflag, true);
  view.setUint32(4, termios.oflag, true);
  view.setUint32(8, termios.cflag, true);
  view.setUint32(12, termios.lflag, true);
  out[io.TERMIOS_LINE] = termios.discipline;
  out.set(termios.cc, io.TERMIOS_CC);
  if (bytes < io.TERMIOS2_BYTES) return out;
  view.setUint32(io.TERMIOS_ISPEED, termios.ispeed, true);
  view.setUint32(io.TERMIOS_OSPEED, termios.ospeed, true);
  return out;
}

/** The reverse; struct termios has no speeds and keeps the old ones. */
export function readTermios(bytes: Uint8Array, old: Termios): Termios {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const word = (at: number): number => view.getUint32(at, true);
  const two = bytes.length >= io.TERMIOS2_BYTES;
  const speeds = two
    ? [word(io.TERMIOS_ISPEED), word(io.TERMIOS_OSPEED)]
    : [old.ispeed, old.ospeed];
  const cc = bytes.slice(io.TERMIOS_CC, io.TERMIOS_CC + io.NCCS);
  const flags = [word(0), word(4), word(8), word(12)];
  return new Termios(flags, bytes[io.TERMIOS_LINE]!, cc, speeds);
}
