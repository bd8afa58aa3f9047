/** Sizes as people write them. */

import { CliError } from './exit_code.ts';

const UNITS = ['', 'k', 'm', 'g'];

/**
 * Parses `512m`, `2g`, `1.5GiB`, `1048576`; units are powers of 1024, as docker has them.
 *
 * @param flag name of the flag, for the message.
 * @returns bytes.
 * @throws CliError
 */
export function parseSize(text: string, flag: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmg]?)(?:i?b)?$/i.exec(text.trim());
  const bytes = Number(match?.[1]) * 1024 ** UNITS.indexOf((match?.[2] ?? '').toLowerCase());
  if (match === null || !(bytes >= 1)) {
    throw new CliError(`Cannot read ${flag} "${text}": want a size such as 512m or 2g`);
  }
  return Math.floor(bytes);
}

/** `14.1 MB`: three digits, decimal units, as download tools print. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  const digits = unit === 0 ? 0 : value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return `${value.toFixed(digits)} ${units[unit] ?? ''}`;
}
