/**
 * esbuild for riscv64 and for this host. npm refuses to install a package for another processor
 * and every user of cowshed would download it, so it is no dependency: `npm pack` brings it, with
 * the registry and proxy that npm is set up for, and a digest written here says what it must be.
 */

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { firstLine } from './host_command.ts';

const VERSION = '0.28.2';
/** SHA-512 of the tarballs, as package-lock.json has them. */
const INTEGRITY = {
  'linux-riscv64':
    'GeXCej4IQtU1B+QlDV8W/RRvbzI3O/Stss+/bCXv4lZls5WGRtu2a+3JkA3i4qIUlMXpcHebWpF8AkJhATowuA==',
  'linux-x64':
    '4xTZr1FUmSoQW4XIWmit3tzQrUTZM+N3P0XV8xROKYF50XfI7xeO90+1bZvNwxIufQ9hDQVRJH5YhgPVF8A/HQ==',
  'linux-arm64':
    'pW4AC0P3it8c7do9MVM4p51FzHzdM/TZrerurgRcHJ2WTa1VQ1CIq18xncfpBJw4ojkiZZrKW2yIBWBP92j6Ug==',
} as const;
/** npm tries again for minutes without a network. */
const TIMEOUT_MS = 120_000;

type Platform = keyof typeof INTEGRITY;

/** @throws Error when npm cannot bring the package or it is another one. */
function fetchPackage(platform: Platform, folder: string): void {
  const name = `@esbuild/${platform}@${VERSION}`;
  const args = ['pack', '--silent', '--fetch-retries=1', '--pack-destination', folder, name];
  const run = spawnSync('npm', args, { cwd: folder, encoding: 'utf8', timeout: TIMEOUT_MS });
  const file = readdirSync(folder).find((entry) => entry.endsWith('.tgz'));
  if (run.status !== 0 || file === undefined) {
    const cause = run.error?.message ?? firstLine(run.stderr);
    throw new Error(`npm cannot bring ${name}${cause === '' ? '' : `: ${cause}`}`);
  }
  const digest = createHash('sha512')
    .update(readFileSync(join(folder, file)))
    .digest('base64');
  if (digest !== INTEGRITY[platform]) throw new Error(`${name} is not what it was: ${digest}`);
  const tar = spawnSync('tar', ['-xzf', file, 'package/bin/esbuild'], {
    cwd: folder,
    encoding: 'utf8',
  });
  if (tar.status !== 0) throw new Error(`tar cannot unpack ${name}: ${firstLine(tar.stderr)}`);
}

/** Host path of the program, which is fetched when the cache does not have it. @throws Error */
export function esbuildProgram(cacheDir: string, platform: Platform): string {
  const program = join(cacheDir, 'bench', `esbuild-${VERSION}-${platform}`);
  if (existsSync(program)) return program;
  mkdirSync(dirname(program), { recursive: true });
  const folder = mkdtempSync(join(cacheDir, 'bench', '.fetch-'));
  try {
    fetchPackage(platform, folder);
    renameSync(join(folder, 'package', 'bin', 'esbuild'), program);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return program;
}
