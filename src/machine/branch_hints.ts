/**
 * Hosts that know branch hints keep what is seldom done out of the way: calls there do not cost
 * the usual way its registers.
 */

import { setFlagsFromString } from 'node:v8';

/** The first version of V8 that is not known to have the option. */
const V8_UNKNOWN = 14;

/** Lets V8 read the hints of modules that are compiled from now on; it only does so when asked. */
export function enableBranchHints(): void {
  const { v8 } = process.versions;
  if (v8 !== undefined && Number.parseInt(v8, 10) < V8_UNKNOWN)
    setFlagsFromString('--experimental-wasm-branch-hinting');
}
