/**
 * What regions import from the interpreter's module. A module imports a function when the first
 * of its regions uses it: the host compiles a wrapper for each type that is imported, which takes
 * longer than compiling a region.
 */

import type { Instrument } from '../instrument.ts';
import { HELPER_TYPES } from '../wasm_functions.ts';
import { I32, I64, type ModuleBuilder, TAIL_CALLS } from '../wasm_encoder.ts';
import {
  EXPORT_ATOMIC,
  EXPORT_CHAIN,
  EXPORT_CHAIN_NO_STOP,
  EXPORT_SOFT_FLOAT,
  EXPORT_STALE,
  EXPORT_TRAP,
  REGION_RESULTS,
  SOFT_FLOAT_PARAMS,
} from './abi.ts';

const TYPES = {
  [EXPORT_CHAIN]: [REGION_RESULTS, REGION_RESULTS],
  [EXPORT_CHAIN_NO_STOP]: [REGION_RESULTS, REGION_RESULTS],
  [EXPORT_ATOMIC]: [[I64, I32, I32], [I32]],
  [EXPORT_SOFT_FLOAT]: [SOFT_FLOAT_PARAMS, []],
  ...HELPER_TYPES,
} as const;

export type RegionImport = keyof typeof TYPES;

/** Function and global indexes in a module of regions. */
export interface RegionCalls {
  readonly trap: number;
  readonly stale: number;
  readonly tailCalls: boolean;
  /** Index of a function, which is imported if it has not been. */
  use(name: RegionImport): number;
  readonly instrument: Instrument | null;
}

export function importsInto(m: ModuleBuilder, instrument: Instrument | null): RegionCalls {
  const known = new Map<RegionImport, number>();
  const use = (name: RegionImport): number => {
    let index = known.get(name);
    if (index === undefined) {
      const [params, results] = TYPES[name];
      index = m.import(name, params, results);
      known.set(name, index);
    }
    return index;
  };
  return {
    trap: m.importGlobal(EXPORT_TRAP),
    stale: m.importGlobal(EXPORT_STALE),
    tailCalls: TAIL_CALLS,
    use,
    instrument,
  };
}
