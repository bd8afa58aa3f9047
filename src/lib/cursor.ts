/** Reading little-endian data that nobody has checked, as of a file that a guest made. */

import { fromHalves, fromHalvesSigned } from './bits.ts';

/** Bits of a LEB128 number that are read: what is above does not fit a number anyway. */
const LEB_MAX_SHIFT = 63;

/** A place in some bytes. A read beyond the end gives 0 and sets `bad`. */
export class Cursor {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Offset of the next byte. */
  pos: number;
  /** Offset behind the last byte that may be read. */
  end: number;
  /** Something was read that is not there. */
  bad = false;

  constructor(bytes: Uint8Array, pos = 0, end = bytes.length) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.pos = pos;
    this.end = Math.min(end, bytes.length);
  }
}

/** Moves behind the next `n` bytes. @returns where they begin, or -1 when they are not all there. */
function take(c: Cursor, n: number): number {
  const at = c.pos;
  if (c.bad || !(at >= 0 && n >= 0 && at + n <= c.end)) {
    c.bad = true;
    return -1;
  }
  c.pos = at + n;
  return at;
}

export function skip(c: Cursor, n: number): void {
  take(c, n);
}

export function readU8(c: Cursor): number {
  const at = take(c, 1);
  return at < 0 ? 0 : c.bytes[at]!;
}

export function readU16(c: Cursor): number {
  const at = take(c, 2);
  return at < 0 ? 0 : c.view.getUint16(at, true);
}

export function readU32(c: Cursor): number {
  const at = take(c, 4);
  return at < 0 ? 0 : c.view.getUint32(at, true);
}

/** Exact below 2^53. */
export function readU64(c: Cursor): number {
  const at = take(c, 8);
  return at < 0 ? 0 : fromHalves(c.view.getInt32(at, true), c.view.getInt32(at + 4, true));
}

export function readS8(c: Cursor): number {
  return (readU8(c) << 24) >> 24;
}

export function readS16(c: Cursor): number {
  return (readU16(c) << 16) >> 16;
}

export function readS32(c: Cursor): number {
  return readU32(c) | 0;
}

/** Exact above -2^53 and below 2^53. */
export function readS64(c: Cursor): number {
  const at = take(c, 8);
  return at < 0 ? 0 : fromHalvesSigned(c.view.getInt32(at, true), c.view.getInt32(at + 4, true));
}

export function readUleb(c: Cursor): number {
  let value = 0;
  for (let shift = 0; !c.bad; shift += 7) {
    const byte = readU8(c);
    if (shift <= LEB_MAX_SHIFT) value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) break;
  }
  return value;
}

export function readSleb(c: Cursor): number {
  let value = 0;
  for (let shift = 0; !c.bad; shift += 7) {
    const byte = readU8(c);
    if (shift <= LEB_MAX_SHIFT) value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) {
      const sign = Math.min(shift + 7, LEB_MAX_SHIFT + 7);
      return (byte & 0x40) === 0 ? value : value - 2 ** sign;
    }
  }
  return value;
}

/** The byte string from here to the next 0, which is read too, of at most `max` bytes. */
export function readCString(c: Cursor, max: number): string {
  let text = '';
  for (let n = 0; n <= max; n++) {
    const byte = readU8(c);
    if (byte === 0) return text;
    text += String.fromCharCode(byte);
  }
  c.bad = true;
  return '';
}
