/** The physical memory of one machine: one WebAssembly.Memory and its views, made once. */

import { memLayout, type MemLayout } from './memlayout.ts';

const WASM_PAGE = 65536;

export class Ram {
  readonly memory: WebAssembly.Memory;
  readonly layout: MemLayout;
  /** The whole memory by byte, by signed and by unsigned word (index = offset >>> 2). */
  readonly u8: Uint8Array;
  readonly i32: Int32Array;
  readonly u32: Uint32Array;
  /** The whole memory for unaligned access at a byte offset. */
  readonly view: DataView;
  /** Per frame: 0, or the offset of its predecoded code. A write to the frame must drop it: icache.ts. */
  readonly codeIndex: Int32Array;

  /**
   * Creates a memory at its full size; the host commits it page by page as it is touched.
   * @param reserved bytes of it for MemLayout.reservedBase.
   * @throws RangeError when the host cannot reserve it.
   */
  constructor(bytes: number, reserved = 0) {
    const pages = bytes / WASM_PAGE;
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    const { buffer } = this.memory;
    this.layout = memLayout(bytes, reserved);
    this.u8 = new Uint8Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.view = new DataView(buffer);
    this.codeIndex = new Int32Array(buffer, this.layout.codeIndexBase, this.layout.nrFrames);
  }
}
