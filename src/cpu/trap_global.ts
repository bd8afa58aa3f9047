/** How the processor's wasm functions report a trap to their caller: a global holds the cause. */

import { HART_TVAL } from '../arch/riscv/hart_state.ts';
import { type FunctionBuilder, Op } from './wasm_encoder.ts';

/** Sets the trap global and tval. */
export function raise(f: FunctionBuilder, trap: number, cause: () => void, va: number): void {
  cause();
  f.globalSet(trap);
  f.i32Const(0);
  f.get(va);
  f.mem(Op.i64Store, HART_TVAL);
}
