/** Bytes as WebAssembly's binary format has them. */

/** Bytes of floating-point constants. */
const SCRATCH = new DataView(new ArrayBuffer(8));

/** A growing array of bytes. */
export class ByteWriter {
  bytes: Uint8Array<ArrayBuffer>;
  length = 0;

  constructor(room = 64) {
    this.bytes = new Uint8Array(room);
  }

  /** Makes room for `n` more bytes. */
  #reserve(n: number): void {
    if (this.length + n <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(this.bytes.length * 2, this.length + n));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
  }

  byte(value: number): void {
    if (this.length === this.bytes.length) this.#reserve(1);
    this.bytes[this.length++] = value;
  }

  /** An opcode and an index. */
  coded(opcode: number, index: number): void {
    if (this.length + 2 > this.bytes.length) this.#reserve(2);
    this.bytes[this.length++] = opcode;
    if (index < 0x80) this.bytes[this.length++] = index;
    else this.u32(index);
  }

  /** Unsigned LEB128 of a number in [0, 2^32). */
  u32(value: number): void {
    let rest = value >>> 0;
    while (rest > 0x7f) {
      this.byte((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    this.byte(rest);
  }

  /** Signed LEB128 of a 32-bit number. */
  s32(value: number): void {
    let rest = value | 0;
    while (rest < -64 || rest > 63) {
      this.byte((rest & 0x7f) | 0x80);
      rest >>= 7;
    }
    this.byte(rest & 0x7f);
  }

  /** Signed LEB128 of a whole number in [-2^63, 2^63); division by 128 is exact in a double. */
  s64(value: number): void {
    let rest = value;
    while (rest < -64 || rest > 63) {
      const next = Math.floor(rest / 128);
      this.byte((rest - next * 128) | 0x80);
      rest = next;
    }
    this.byte(rest & 0x7f);
  }

  f32(value: number): void {
    SCRATCH.setFloat32(0, value, true);
    for (let i = 0; i < 4; i++) this.byte(SCRATCH.getUint8(i));
  }

  f64(value: number): void {
    SCRATCH.setFloat64(0, value, true);
    for (let i = 0; i < 8; i++) this.byte(SCRATCH.getUint8(i));
  }

  name(text: string): void {
    this.u32(text.length);
    for (let i = 0; i < text.length; i++) this.byte(text.charCodeAt(i));
  }

  append(other: ByteWriter): void {
    this.#reserve(other.length);
    this.bytes.set(other.bytes.subarray(0, other.length), this.length);
    this.length += other.length;
  }
}
