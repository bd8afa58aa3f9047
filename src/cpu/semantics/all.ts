/** What every row of the instruction table does. */

import type { Semantics } from '../emitter.ts';
import { INSN_TABLE } from '../insn_table.ts';
import { A_SEMANTICS } from './a.ts';
import { D_SEMANTICS } from './d.ts';
import { F_SEMANTICS } from './f.ts';
import { I_SEMANTICS } from './i.ts';
import { M_SEMANTICS } from './m.ts';
import { ZICSR_SEMANTICS } from './zicsr.ts';

const BY_NAME: Readonly<Record<string, Semantics | undefined>> = {
  ...I_SEMANTICS,
  ...M_SEMANTICS,
  ...A_SEMANTICS,
  ...F_SEMANTICS,
  ...D_SEMANTICS,
  ...ZICSR_SEMANTICS,
};

/** Indexed as INSN_TABLE. */
export const SEMANTICS: readonly Semantics[] = INSN_TABLE.map(({ name }) => {
  const semantics = BY_NAME[name];
  if (semantics === undefined) throw new Error(`No semantics for "${name}"`);
  return semantics;
});
