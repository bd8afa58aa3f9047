/**
 * package-lock.json must serve every platform from any registry: it names no host, and it has an
 * entry for each platform's optional package. `npm install` writes only those entries that its
 * registry serves, and `npm ci` refuses a lock file without the others.
 *
 *     npm run lock               adds what is missing
 *     npm run lock -- --check    only reports
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const LOCK = 'package-lock.json';
const OS = [
  'aix',
  'android',
  'darwin',
  'freebsd',
  'linux',
  'netbsd',
  'openbsd',
  'openharmony',
  'sunos',
  'win32',
];
const CPU = [
  'arm',
  'arm64',
  'ia32',
  'loong64',
  'mips64el',
  'ppc64',
  'riscv64',
  's390x',
  'wasm32',
  'x64',
];

interface LockEntry {
  version?: string;
  resolved?: string;
  dev?: boolean;
  optional?: boolean;
  os?: string[];
  cpu?: string[];
  libc?: string[];
  optionalDependencies?: Record<string, string>;
}

export interface LockFile {
  packages: Record<string, LockEntry>;
}

/** What a platform's package restricts itself to, read from its name: `cli-linux-x64-musl`. */
export function platformEntry(name: string, version: string, dev: boolean): LockEntry {
  const words = name.split(/[-/]/);
  const os = OS.filter((word) => words.includes(word));
  const cpu = CPU.filter((word) => words.includes(word));
  const libc = [
    ...(words.includes('musl') || words.includes('musleabihf') ? ['musl'] : []),
    ...(words.includes('gnu') || words.includes('gnueabihf') ? ['glibc'] : []),
  ];
  return {
    version,
    ...(cpu.length > 0 ? { cpu } : {}),
    ...(dev ? { dev } : {}),
    ...(libc.length > 0 ? { libc } : {}),
    optional: true,
    ...(os.length > 0 ? { os } : {}),
  };
}

/** Optional packages that an entry asks for and no entry describes. */
export function missingEntries(lock: LockFile): Record<string, LockEntry> {
  const missing: Record<string, LockEntry> = {};
  for (const entry of Object.values(lock.packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      const key = `node_modules/${name}`;
      if (key in lock.packages || !/^\d+\.\d+\.\d+/.test(version)) continue;
      missing[key] = platformEntry(name, version, entry.dev === true);
    }
  }
  return missing;
}

function readLock(): LockFile {
  return JSON.parse(readFileSync(LOCK, 'utf8')) as LockFile;
}

/** @returns the lines to print and whether all is well. */
export function lockCheck(): { ok: boolean; lines: string[] } {
  const lock = readLock();
  const missing = Object.keys(missingEntries(lock));
  const hosts = Object.entries(lock.packages).filter(([, entry]) => entry.resolved !== undefined);
  const lines = [
    ...missing.map((key) => `${LOCK} has no entry for ${key}: run npm run lock`),
    ...hosts.map(([key]) => `${LOCK} names a registry for ${key}`),
  ];
  return { ok: lines.length === 0, lines };
}

function completeLock(): void {
  const lock = readLock();
  const entries = Object.entries({ ...lock.packages, ...missingEntries(lock) });
  entries.sort(([a], [b]) => (a < b ? -1 : 1));
  writeFileSync(
    LOCK,
    `${JSON.stringify({ ...lock, packages: Object.fromEntries(entries) }, null, 2)}\n`,
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (!process.argv.includes('--check')) completeLock();
  const { ok, lines } = lockCheck();
  for (const line of lines) console.log(line);
  process.exitCode = ok ? 0 : 1;
}
