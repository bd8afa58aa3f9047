/** Small ELF images, right and wrong, for tests of exec. */

/** One program header. */
export interface Segment {
  readonly type?: number;
  readonly flags?: number;
  readonly offset?: number | bigint;
  readonly vaddr?: number | bigint;
  readonly filesz?: number | bigint;
  readonly memsz?: number | bigint;
  readonly align?: number | bigint;
}

export interface ElfSpec {
  readonly machine?: number;
  readonly elfClass?: number;
  readonly type?: number;
  readonly entry?: number | bigint;
  readonly phentsize?: number;
  readonly phnum?: number;
  readonly phoff?: number | bigint;
  readonly segments?: readonly Segment[];
  /** What comes after the headers, at offset 0x1000. */
  readonly body?: Uint8Array;
}

const BODY = 0x1000;
/** li a0, 7; li a7, 93; ecall: exit(7). */
export const EXIT_7 = new Uint8Array(new Uint32Array([0x0070_0513, 0x05d0_0893, 0x73]).buffer);

export const TEXT: Segment = {
  type: 1,
  flags: 5,
  offset: BODY,
  vaddr: 0x1_0000,
  filesz: 12,
  memsz: 12,
  align: 0x1000,
};

/** An image that exits with 7 unless the spec breaks it. */
export function elf(spec: ElfSpec = {}): Uint8Array {
  const segments = spec.segments ?? [TEXT];
  const body = spec.body ?? EXIT_7;
  const bytes = new Uint8Array(BODY + body.length);
  const view = new DataView(bytes.buffer);
  const u64 = (at: number, value: number | bigint): void =>
    view.setBigUint64(at, BigInt.asUintN(64, BigInt(value)), true);
  view.setUint32(0, 0x464c_457f, true);
  bytes.set([spec.elfClass ?? 2, 1, 1], 4);
  view.setUint16(16, spec.type ?? 2, true);
  view.setUint16(18, spec.machine ?? 243, true);
  view.setUint32(20, 1, true);
  u64(24, spec.entry ?? 0x1_0000);
  u64(32, spec.phoff ?? 64);
  view.setUint16(52, 64, true);
  view.setUint16(54, spec.phentsize ?? 56, true);
  view.setUint16(56, spec.phnum ?? segments.length, true);
  segments.forEach((s, i) => {
    const at = 64 + 56 * i;
    view.setUint32(at, s.type ?? 1, true);
    view.setUint32(at + 4, s.flags ?? 5, true);
    u64(at + 8, s.offset ?? BODY);
    u64(at + 16, s.vaddr ?? 0x1_0000);
    u64(at + 32, s.filesz ?? 12);
    u64(at + 40, s.memsz ?? s.filesz ?? 12);
    u64(at + 48, s.align ?? 0x1000);
  });
  bytes.set(body, BODY);
  return bytes;
}
