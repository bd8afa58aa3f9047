import assert from 'node:assert/strict';
import { ByteWriter } from '../../../src/cpu/byte_writer.ts';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  F64,
  I32,
  I64,
  IMPORT_MEMORY,
  IMPORT_MODULE,
  ModuleBuilder,
  Op,
} from '../../../src/cpu/wasm_encoder.ts';

/** Instantiates a module; its functions by name. */
function instantiate(m: ModuleBuilder): Record<string, (...args: never[]) => unknown> {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  const imports = { [IMPORT_MODULE]: { [IMPORT_MEMORY]: memory, add1: (x: number) => x + 1 } };
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(m.encode()), imports);
  return exports as Record<string, (...args: never[]) => unknown>;
}

describe('ByteWriter', () => {
  it('writes LEB128 that the engine reads back', () => {
    fc.assert(
      fc.property(fc.integer(), fc.maxSafeInteger(), fc.double(), (a, b, c) => {
        const m = new ModuleBuilder(1);
        m.define([], [I32], (f) => f.i32Const(a), 'a');
        m.define([], [I64], (f) => f.i64Const(b), 'b');
        m.define([], [F64], (f) => f.f64Const(c), 'c');
        const e = instantiate(m);
        assert.equal(e['a']!(), a | 0);
        assert.equal(e['b']!(), BigInt(b));
        assert.ok(Object.is(e['c']!(), c));
      }),
      { numRuns: 60 },
    );
  });

  it('writes the most negative 64-bit number', () => {
    const m = new ModuleBuilder(1);
    m.define([], [I64], (f) => f.i64Const(-(2 ** 63)), 'min');
    assert.equal(instantiate(m)['min']!(), -(2n ** 63n));
  });

  it('grows as needed', () => {
    const w = new ByteWriter();
    for (let i = 0; i < 1000; i++) w.byte(i & 0xff);
    assert.equal(w.length, 1000);
    assert.equal(w.bytes[999], 999 & 0xff);
  });
});

describe('ModuleBuilder', () => {
  it('branches to labels by depth, through a table as well', () => {
    const m = new ModuleBuilder(1);
    m.define(
      [I32],
      [I32],
      (f) => {
        const outer = f.block();
        const middle = f.block();
        const inner = f.block();
        f.get(0);
        f.brTable([inner, middle], outer);
        f.end();
        f.i32Const(10);
        f.op(Op.return);
        f.end();
        f.i32Const(20);
        f.op(Op.return);
        f.end();
        f.i32Const(30);
      },
      'pick',
    );
    const pick = instantiate(m)['pick'] as (n: number) => number;
    assert.deepEqual([0, 1, 2, 9].map(pick), [10, 20, 30, 30]);
  });

  it('calls imports and functions, and shares globals between them', () => {
    const m = new ModuleBuilder(1);
    const add1 = m.import('add1', [I32], [I32]);
    const count = m.global();
    const bump = m.define([], [], (f) => {
      f.globalGet(count);
      f.call(add1);
      f.globalSet(count);
    });
    m.define(
      [],
      [I32],
      (f) => {
        f.call(bump);
        f.call(bump);
        f.globalGet(count);
      },
      'twice',
    );
    const twice = instantiate(m)['twice']!;
    assert.equal(twice(), 2);
    assert.equal(twice(), 4);
  });
});
