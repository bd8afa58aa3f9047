/** Whether and how a machine's processor compiles: the caller's word, else the environment's. */

import type { JitOptions } from '../cpu/jit/options.ts';
import { CowshedError } from './errors.ts';

/** COWSHED_JIT is `on` or `off`; COWSHED_JIT_THRESHOLD a number of samples, 0 for everything. */
const VARIABLE = 'COWSHED_JIT';
const THRESHOLD = 'COWSHED_JIT_THRESHOLD';

function badValue(name: string, value: string, want: string): CowshedError {
  return new CowshedError('EINVAL', `Cannot use ${name}="${value}": want ${want}`);
}

function fromEnvironment(): JitOptions {
  const env: Readonly<Record<string, string | undefined>> = globalThis.process?.env ?? {};
  const mode = env[VARIABLE] ?? '';
  const threshold = env[THRESHOLD] ?? '';
  if (!['', 'on', 'off'].includes(mode)) throw badValue(VARIABLE, mode, 'on or off');
  if (!/^\d{0,3}$/.test(threshold) || Number(threshold) > 255)
    throw badValue(THRESHOLD, threshold, 'a number from 0 to 255');
  return {
    enabled: mode !== 'off',
    threshold: threshold === '' ? undefined : Number(threshold),
  };
}

/** @throws CowshedError for a bad value in the environment. */
export function jitOptions(option: boolean | JitOptions | undefined): JitOptions {
  if (typeof option === 'object') return option;
  const options = fromEnvironment();
  return option === undefined ? options : { ...options, enabled: option };
}
