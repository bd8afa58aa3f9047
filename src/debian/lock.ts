/**
 * The lock file: exactly which packages a root file system was made of. With it the same packages
 * are fetched again without any index. It names no mirror.
 */

import { readFileSync } from 'node:fs';
import { writeFileAtomic } from './cache.ts';
import { DebianError, errorText } from './error.ts';

const LOCK_VERSION = 1;

/** One locked package. */
export interface LockedPackage {
  readonly name: string;
  readonly version: string;
  /** Path below the mirror's base. */
  readonly filename: string;
  /** Bytes of the .deb. */
  readonly size: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

export interface Lock {
  readonly lockVersion: typeof LOCK_VERSION;
  readonly suite: string;
  /** The release it was resolved from, for people: `trixie 13.7 of 12 Sep 2026`. */
  readonly release: string;
  readonly architecture: 'riscv64';
  /** The packages that were asked for, sorted. */
  readonly requested: readonly string[];
  /** These and all they need, sorted by name. */
  readonly packages: readonly LockedPackage[];
}

export function makeLock(
  suite: string,
  release: string,
  requested: readonly string[],
  packages: readonly LockedPackage[],
): Lock {
  return {
    lockVersion: LOCK_VERSION,
    suite,
    release,
    architecture: 'riscv64',
    requested: [...new Set(requested)].sort(),
    packages: packages.map(({ name, version, filename, size, sha256 }) => ({
      name,
      version,
      filename,
      size,
      sha256,
    })),
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether a path from a lock file stays below the mirror's base. */
function isPoolPath(path: string): boolean {
  return /^[\w./+~-]+$/.test(path) && !path.startsWith('/') && !path.split('/').includes('..');
}

function parsePackage(value: unknown): LockedPackage {
  if (!isRecord(value)) throw new Error('a package is no object');
  const { name, version, filename, size, sha256 } = value;
  if (typeof name !== 'string' || !/^[a-z0-9][a-z0-9+.-]+$/.test(name))
    throw new Error('a package has no proper name');
  if (typeof version !== 'string' || version === '') throw new Error(`"${name}" has no version`);
  if (typeof filename !== 'string' || !isPoolPath(filename))
    throw new Error(`"${name}" has no proper filename`);
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
    throw new Error(`"${name}" has no proper size`);
  if (typeof sha256 !== 'string' || !/^[0-9a-f]{64}$/.test(sha256))
    throw new Error(`"${name}" has no proper sha256`);
  return { name, version, filename, size, sha256 };
}

function parseLock(text: string): Lock {
  const value: unknown = JSON.parse(text);
  if (!isRecord(value)) throw new Error('it is no JSON object');
  if (value['lockVersion'] !== LOCK_VERSION)
    throw new Error(`lockVersion is ${String(value['lockVersion'])}, want ${LOCK_VERSION}`);
  const { suite, release, requested, packages } = value;
  if (typeof suite !== 'string' || !Array.isArray(requested) || !Array.isArray(packages)) {
    throw new Error('suite, requested or packages are missing');
  }
  if (!requested.every((name) => typeof name === 'string'))
    throw new Error('requested is no list of names');
  return makeLock(
    suite,
    typeof release === 'string' ? release : '',
    requested,
    packages.map(parsePackage),
  );
}

/**
 * @returns the lock, or null when there is no such file.
 * @throws DebianError LOCK when the file is unreadable or damaged.
 */
export function readLock(path: string): Lock | null {
  try {
    return parseLock(readFileSync(path, 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new DebianError('LOCK', `Cannot read lock file "${path}": ${errorText(error)}`, error);
  }
}

export function writeLock(path: string, lock: Lock): Promise<void> {
  return writeFileAtomic(path, `${JSON.stringify(lock, null, 2)}\n`);
}
