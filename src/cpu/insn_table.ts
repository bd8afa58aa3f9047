/**
 * RV64GC's 32-bit instructions, one row each: which bits say that it is this instruction, how
 * its operands are laid out, and where the Unprivileged manual (20191213) describes it. The
 * decoder, the disassembler and both execution tiers read this table; compressed instructions
 * are first expanded to these (compressed.ts).
 */

/**
 * Operand layouts. R4 has a third source, SHIFT a 6-bit and SHIFTW a 5-bit shift amount in
 * imm; FR and FU are R with one or two sources whose funct3 is the rounding mode; RU is R with
 * one source; CSR and CSRI have the CSR number in imm; AMO has aq and rl bits that one hart
 * need not tell apart.
 */
export type Format =
  | 'R'
  | 'RU'
  | 'R4'
  | 'I'
  | 'LOAD'
  | 'S'
  | 'B'
  | 'U'
  | 'J'
  | 'SHIFT'
  | 'SHIFTW'
  | 'FR'
  | 'FU'
  | 'CSR'
  | 'CSRI'
  | 'AMO'
  | 'LR'
  | 'NONE';

export interface InsnRow {
  readonly name: string;
  /** An instruction word `w` is this instruction when `(w & mask) === match`. */
  readonly match: number;
  readonly mask: number;
  readonly format: Format;
  /** Register file of rd, rs1, rs2, rs3: 'x' or 'f'; shorter when an operand does not exist. */
  readonly regs: string;
  readonly section: string;
}

const MASK: Readonly<Record<Format, number>> = {
  R: 0xfe00707f,
  RU: 0xfff0707f,
  R4: 0x0600007f,
  I: 0x0000707f,
  LOAD: 0x0000707f,
  S: 0x0000707f,
  B: 0x0000707f,
  U: 0x0000007f,
  J: 0x0000007f,
  SHIFT: 0xfc00707f,
  SHIFTW: 0xfe00707f,
  FR: 0xfe00007f,
  FU: 0xfff0007f,
  CSR: 0x0000707f,
  CSRI: 0x0000707f,
  AMO: 0xf800707f,
  LR: 0xf9f0707f,
  NONE: 0xffffffff,
};

/** Rows that share format, register files and section: `[name, match]` pairs. */
function rows(
  format: Format,
  regs: string,
  section: string,
  insns: readonly (readonly [name: string, match: number])[],
): InsnRow[] {
  const mask = MASK[format] | 0;
  return insns.map(([name, match]) => ({ name, match: match | 0, mask, format, regs, section }));
}

/** The four computational rows with a third source, for fmt 0 (S) or 1 (D). */
function fusedRows(suffix: string, fmt: number, section: string): InsnRow[] {
  const bits = fmt << 25;
  return rows('R4', 'ffff', section, [
    [`fmadd.${suffix}`, 0x43 | bits],
    [`fmsub.${suffix}`, 0x47 | bits],
    [`fnmsub.${suffix}`, 0x4b | bits],
    [`fnmadd.${suffix}`, 0x4f | bits],
  ]);
}

/** F and D have the same rows with another fmt field; `chapter` is 11 or 12. */
function floatRows(suffix: string, fmt: number, chapter: number): InsnRow[] {
  const bits = fmt << 25;
  const s = suffix;
  const [compute, convert, compare, classify] =
    chapter === 11 ? ['11.6', '11.7', '11.8', '11.9'] : ['12.4', '12.5', '12.6', '12.7'];
  return [
    ...fusedRows(s, fmt, compute),
    ...rows('FR', 'fff', compute, [
      [`fadd.${s}`, 0x00000053 | bits],
      [`fsub.${s}`, 0x08000053 | bits],
      [`fmul.${s}`, 0x10000053 | bits],
      [`fdiv.${s}`, 0x18000053 | bits],
    ]),
    ...rows('FU', 'ff', compute, [[`fsqrt.${s}`, 0x58000053 | bits]]),
    ...rows('R', 'fff', convert, [
      [`fsgnj.${s}`, 0x20000053 | bits],
      [`fsgnjn.${s}`, 0x20001053 | bits],
      [`fsgnjx.${s}`, 0x20002053 | bits],
    ]),
    ...rows('R', 'fff', compute, [
      [`fmin.${s}`, 0x28000053 | bits],
      [`fmax.${s}`, 0x28001053 | bits],
    ]),
    ...rows('R', 'xff', compare, [
      [`fle.${s}`, 0xa0000053 | bits],
      [`flt.${s}`, 0xa0001053 | bits],
      [`feq.${s}`, 0xa0002053 | bits],
    ]),
    ...rows('FU', 'xf', convert, [
      [`fcvt.w.${s}`, 0xc0000053 | bits],
      [`fcvt.wu.${s}`, 0xc0100053 | bits],
      [`fcvt.l.${s}`, 0xc0200053 | bits],
      [`fcvt.lu.${s}`, 0xc0300053 | bits],
    ]),
    ...rows('FU', 'fx', convert, [
      [`fcvt.${s}.w`, 0xd0000053 | bits],
      [`fcvt.${s}.wu`, 0xd0100053 | bits],
      [`fcvt.${s}.l`, 0xd0200053 | bits],
      [`fcvt.${s}.lu`, 0xd0300053 | bits],
    ]),
    ...rows('RU', 'xf', classify, [[`fclass.${s}`, 0xe0001053 | bits]]),
  ];
}

const INTEGER: readonly InsnRow[] = [
  ...rows('U', 'x', '2.4', [
    ['lui', 0x37],
    ['auipc', 0x17],
  ]),
  ...rows('J', 'x', '2.5', [['jal', 0x6f]]),
  ...rows('I', 'xx', '2.5', [['jalr', 0x67]]),
  ...rows('B', '-xx', '2.5', [
    ['beq', 0x0063],
    ['bne', 0x1063],
    ['blt', 0x4063],
    ['bge', 0x5063],
    ['bltu', 0x6063],
    ['bgeu', 0x7063],
  ]),
  ...rows('LOAD', 'xx', '2.6', [
    ['lb', 0x0003],
    ['lh', 0x1003],
    ['lw', 0x2003],
    ['ld', 0x3003],
    ['lbu', 0x4003],
    ['lhu', 0x5003],
    ['lwu', 0x6003],
  ]),
  ...rows('S', '-xx', '2.6', [
    ['sb', 0x0023],
    ['sh', 0x1023],
    ['sw', 0x2023],
    ['sd', 0x3023],
  ]),
  ...rows('I', 'xx', '2.4', [
    ['addi', 0x0013],
    ['slti', 0x2013],
    ['sltiu', 0x3013],
    ['xori', 0x4013],
    ['ori', 0x6013],
    ['andi', 0x7013],
  ]),
  ...rows('SHIFT', 'xx', '5.2', [
    ['slli', 0x00001013],
    ['srli', 0x00005013],
    ['srai', 0x40005013],
  ]),
  ...rows('R', 'xxx', '2.4', [
    ['add', 0x00000033],
    ['sub', 0x40000033],
    ['sll', 0x00001033],
    ['slt', 0x00002033],
    ['sltu', 0x00003033],
    ['xor', 0x00004033],
    ['srl', 0x00005033],
    ['sra', 0x40005033],
    ['or', 0x00006033],
    ['and', 0x00007033],
  ]),
  ...rows('I', 'xx', '5.2', [['addiw', 0x001b]]),
  ...rows('SHIFTW', 'xx', '5.2', [
    ['slliw', 0x0000101b],
    ['srliw', 0x0000501b],
    ['sraiw', 0x4000501b],
  ]),
  ...rows('R', 'xxx', '5.2', [
    ['addw', 0x0000003b],
    ['subw', 0x4000003b],
    ['sllw', 0x0000103b],
    ['srlw', 0x0000503b],
    ['sraw', 0x4000503b],
  ]),
  ...rows('I', 'xx', '2.7', [['fence', 0x000f]]),
  ...rows('I', 'xx', '3', [['fence.i', 0x100f]]),
  ...rows('NONE', '', '2.8', [
    ['ecall', 0x00000073],
    ['ebreak', 0x00100073],
  ]),
];

const MULTIPLY: readonly InsnRow[] = [
  ...rows('R', 'xxx', '7.1', [
    ['mul', 0x02000033],
    ['mulh', 0x02001033],
    ['mulhsu', 0x02002033],
    ['mulhu', 0x02003033],
    ['mulw', 0x0200003b],
  ]),
  ...rows('R', 'xxx', '7.2', [
    ['div', 0x02004033],
    ['divu', 0x02005033],
    ['rem', 0x02006033],
    ['remu', 0x02007033],
    ['divw', 0x0200403b],
    ['divuw', 0x0200503b],
    ['remw', 0x0200603b],
    ['remuw', 0x0200703b],
  ]),
];

/** The A rows for funct3 2 (.w) or 3 (.d). */
function atomicRows(suffix: string, funct3: number): InsnRow[] {
  const bits = 0x2f | (funct3 << 12);
  return [
    ...rows('LR', 'xx', '8.2', [[`lr.${suffix}`, 0x10000000 | bits]]),
    ...rows('AMO', 'xxx', '8.2', [[`sc.${suffix}`, 0x18000000 | bits]]),
    ...rows('AMO', 'xxx', '8.4', [
      [`amoswap.${suffix}`, 0x08000000 | bits],
      [`amoadd.${suffix}`, bits],
      [`amoxor.${suffix}`, 0x20000000 | bits],
      [`amoand.${suffix}`, 0x60000000 | bits],
      [`amoor.${suffix}`, 0x40000000 | bits],
      [`amomin.${suffix}`, 0x80000000 | bits],
      [`amomax.${suffix}`, 0xa0000000 | bits],
      [`amominu.${suffix}`, 0xc0000000 | bits],
      [`amomaxu.${suffix}`, 0xe0000000 | bits],
    ]),
  ];
}

const FLOAT: readonly InsnRow[] = [
  ...rows('LOAD', 'fx', '11.5', [['flw', 0x2007]]),
  ...rows('S', '-xf', '11.5', [['fsw', 0x2027]]),
  ...floatRows('s', 0, 11),
  ...rows('RU', 'xf', '11.7', [['fmv.x.w', 0xe0000053]]),
  ...rows('RU', 'fx', '11.7', [['fmv.w.x', 0xf0000053]]),
];

const DOUBLE: readonly InsnRow[] = [
  ...rows('LOAD', 'fx', '12.3', [['fld', 0x3007]]),
  ...rows('S', '-xf', '12.3', [['fsd', 0x3027]]),
  ...floatRows('d', 1, 12),
  ...rows('FU', 'ff', '12.5', [
    ['fcvt.s.d', 0x40100053],
    ['fcvt.d.s', 0x42000053],
  ]),
  ...rows('RU', 'xf', '12.5', [['fmv.x.d', 0xe2000053]]),
  ...rows('RU', 'fx', '12.5', [['fmv.d.x', 0xf2000053]]),
];

const CSR: readonly InsnRow[] = [
  ...rows('CSR', 'xx', '9.1', [
    ['csrrw', 0x1073],
    ['csrrs', 0x2073],
    ['csrrc', 0x3073],
  ]),
  ...rows('CSRI', 'x', '9.1', [
    ['csrrwi', 0x5073],
    ['csrrsi', 0x6073],
    ['csrrci', 0x7073],
  ]),
];

/** Every instruction; an instruction is known elsewhere by its index here. */
export const INSN_TABLE: readonly InsnRow[] = [
  ...INTEGER,
  ...MULTIPLY,
  ...atomicRows('w', 2),
  ...atomicRows('d', 3),
  ...FLOAT,
  ...DOUBLE,
  ...CSR,
];
