/**
 * Gets Debian's package of the kernel's source, and the static libraries that some self tests
 * link, from the mirror that `cowshed pull` would use, and unpacks what building the tests needs.
 * The lock file names the exact packages; nothing of their content is part of this repository.
 */

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { chooseMirrors, readAptProxies } from '../../src/debian/apt_sources.ts';
import { readArMembers } from '../../src/debian/ar.ts';
import { cachePath, defaultCacheDir, download, isCached } from '../../src/debian/cache.ts';
import { unpackDeb } from '../../src/debian/deb.ts';
import { asError, DebianError } from '../../src/debian/error.ts';
import type { HttpClient } from '../../src/debian/http.ts';
import { closeHttpClient, createHttpClient } from '../../src/debian/http.ts';
import { fetchIndex } from '../../src/debian/index_fetch.ts';
import type { Lock, LockedPackage } from '../../src/debian/lock.ts';
import { makeLock, readLock, writeLock } from '../../src/debian/lock.ts';
import type { PackageIndex } from '../../src/debian/package_index.ts';
import { releaseText } from '../../src/debian/release.ts';
import type { PullReport } from '../../src/debian/report.ts';
import { findKeyrings, readKeyrings } from '../../src/debian/signature.ts';
import { compareVersions } from '../../src/debian/version.ts';

export const LOCK_FILE = 'kselftest.lock.json';
/** The suite that has the newest kernel, and those that may have it when the first one cannot be used. */
const SUITES = ['sid', 'forky'];
const SOURCE_NAME = /^linux-source-\d+\.\d+$/;
/** What mlock-random-test, rmap and cow link. */
const LIBRARIES = ['libcap-dev', 'libnuma-dev', 'liburing-dev'];
const SKEW_PAUSE_MS = 2000;
/** Part of the cache key: a change of what is unpacked needs a new one. */
const TREE = 2;
/** The mm tests, what they include, and what `make headers` reads. */
const WANTED_PATHS = [
  'Makefile',
  'Kbuild',
  'arch/*/Makefile*',
  'arch/*/include/asm/Kbuild',
  'arch/*/include/uapi',
  'arch/*/entry/syscalls',
  'arch/*/kernel/Makefile.syscalls',
  'include/asm-generic',
  'include/uapi',
  'include/vdso',
  'lib/test_hmm_uapi.h',
  'mm/gup_test.h',
  'scripts',
  'tools/arch',
  'tools/build',
  'tools/include',
  'tools/scripts',
  'tools/testing/selftests',
  'usr/include',
];

export interface SourceOptions {
  readonly mirror: string | undefined;
  readonly update: boolean;
  /** Accept an index past its Valid-Until date. */
  readonly allowExpired: boolean;
  readonly report: PullReport;
  readonly env: NodeJS.ProcessEnv;
  /** Where trees are unpacked. */
  readonly workDir: string;
}

export interface KernelSource {
  /** Version of the Debian package: `7.2.13-1`. */
  readonly version: string;
  /** The unpacked tree. */
  readonly dir: string;
  /** Root of a file system with the libraries. */
  readonly libraries: string;
  /** A digest of their versions, for cache keys. */
  readonly librariesKey: string;
}

interface Fetch {
  readonly options: SourceOptions;
  readonly client: HttpClient;
  readonly cacheDir: string;
}

/** @throws the first error when no mirror does. */
async function withMirrors<T>(
  fetch: Fetch,
  use: (mirror: string, keyrings: readonly string[]) => Promise<T | null>,
): Promise<T | null> {
  const { options, client } = fetch;
  const choice = chooseMirrors(options.mirror, options.env);
  if (choice.fromApt) client.env = { ...readAptProxies(), ...options.env };
  let failure: Error | undefined;
  for (const mirror of choice.mirrors) {
    try {
      const result = await use(mirror, choice.keyrings);
      if (result !== null) return result;
    } catch (error) {
      failure ??= asError(error);
    }
  }
  if (failure !== undefined) throw failure;
  return null;
}

function newestSource({ packages }: PackageIndex): LockedPackage | null {
  const sources = [...packages.values()].filter(({ name }) => SOURCE_NAME.test(name));
  return sources.reduce<LockedPackage | null>(
    (best, one) => (best !== null && compareVersions(best.version, one.version) >= 0 ? best : one),
    null,
  );
}

/** Finds the newest packages in the signed index of a suite. */
async function resolve(fetch: Fetch): Promise<Lock> {
  const { report } = fetch.options;
  let failure: Error | undefined;
  for (const suite of SUITES) {
    try {
      const lock = await withMirrors(fetch, async (mirror, keyrings) => {
        const keys = await readKeyrings(findKeyrings(undefined, keyrings));
        const { release, index } = await fetchIndex(
          {
            client: fetch.client,
            mirror,
            keys,
            allowExpired: fetch.options.allowExpired,
            cacheDir: fetch.cacheDir,
            report,
            skewPauseMs: SKEW_PAUSE_MS,
          },
          suite,
        );
        const source = newestSource(index);
        const libraries = LIBRARIES.map((name) => index.packages.get(name));
        const found = [source, ...libraries].filter((one) => one !== undefined && one !== null);
        if (source === null || found.length <= LIBRARIES.length) return null;
        return makeLock(suite, releaseText(release), [source.name, ...LIBRARIES], found);
      });
      if (lock !== null) return lock;
    } catch (error) {
      failure ??= asError(error);
    }
  }
  throw failure ?? new DebianError('NOT_FOUND', 'Cannot find linux-source: no suite has it');
}

/** @returns false when a package has vanished from every mirror. */
async function fetchAll(fetch: Fetch, lock: Lock): Promise<boolean> {
  const { report } = fetch.options;
  for (const file of lock.packages) {
    if (await isCached(fetch.cacheDir, file)) continue;
    report.begin(`Fetching ${file.name} ${file.version}`, file.size);
    try {
      const path = await withMirrors(fetch, (mirror) =>
        download(
          fetch.client,
          fetch.cacheDir,
          `${mirror}/${encodeURI(file.filename)}`,
          file,
          (bytes) => report.advance(bytes),
        ),
      );
      if (path === null) return false;
    } finally {
      report.end();
    }
  }
  return true;
}

/** Settles on packages and has them in the cache; the lock file changes only with `--update`. */
async function obtain(fetch: Fetch): Promise<Lock> {
  const { options } = fetch;
  const locked = readLock(LOCK_FILE);
  if (locked !== null && !options.update) {
    if (await fetchAll(fetch, locked)) return locked;
    options.report.say(`A package of ${LOCK_FILE} has vanished from the mirror: taking the newest`);
  }
  const newest = await resolve(fetch);
  if (!(await fetchAll(fetch, newest))) {
    throw new DebianError(
      'SKEW',
      'Cannot fetch linux-source: the index names it, but the mirror does not have it',
    );
  }
  if (locked === null || options.update) await writeLock(LOCK_FILE, newest);
  return newest;
}

/** The tree is a tar.xz within the package's tar.xz: the host's tools are many times faster than JavaScript. */
const UNPACK_SCRIPT = `
set -o pipefail
target=$1
shift
xz -dc | tar -xO --wildcards './usr/src/linux-source-*.tar.xz' | xz -dc -T0 |
  tar -x -C "$target" --strip-components=1 --wildcards --no-wildcards-match-slash "$@"
`;

async function unpackSource(deb: string, target: string): Promise<void> {
  const handle = await open(deb, 'r');
  const member = (await readArMembers(handle)).find(({ name }) => name === 'data.tar.xz');
  await handle.close();
  if (member === undefined) throw new Error('linux-source has no data.tar.xz');
  const patterns = WANTED_PATHS.map((path) => `linux-source-*/${path}`);
  const child = spawn('bash', ['-c', UNPACK_SCRIPT, 'unpack', target, ...patterns], {
    stdio: ['pipe', 'inherit', 'inherit'],
  });
  const end = member.offset + member.size - 1;
  createReadStream(deb, { start: member.offset, end }).pipe(child.stdin);
  child.stdin.on('error', () => undefined);
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`Cannot unpack linux-source: tar ended with ${code}`);
}

/** Fills a directory beside its place and moves it there whole. */
async function makeOnce(dir: string, fill: (staging: string) => Promise<void>): Promise<void> {
  if (existsSync(dir)) return;
  const staging = `${dir}.${process.pid}`;
  mkdirSync(staging, { recursive: true });
  try {
    await fill(staging);
    renameSync(staging, dir);
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

/**
 * The kernel's source and the libraries, from the cache where it has them.
 *
 * @throws DebianError when there is no mirror, no keyring or no such package.
 */
export async function kernelSource(options: SourceOptions): Promise<KernelSource> {
  const client = createHttpClient(options.env);
  const cacheDir = defaultCacheDir(options.env);
  try {
    const lock = await obtain({ options, client, cacheDir });
    const source = lock.packages.find(({ name }) => SOURCE_NAME.test(name));
    if (source === undefined)
      throw new DebianError('LOCK', `Cannot use ${LOCK_FILE}: no linux-source`);
    const libraries = lock.packages.filter((one) => one !== source);
    const dir = join(options.workDir, `linux-${source.version}-t${TREE}`);
    await makeOnce(dir, (staging) => {
      options.report.say(`Unpacking ${source.name} ${source.version}`);
      return unpackSource(cachePath(cacheDir, source.sha256), staging);
    });
    const hash = createHash('sha256').update(libraries.map(({ sha256 }) => sha256).join());
    const librariesKey = hash.digest('hex').slice(0, 12);
    const libraryDir = join(options.workDir, `libraries-${librariesKey}`);
    await makeOnce(libraryDir, async (staging) => {
      for (const { sha256, name } of libraries)
        await unpackDeb(cachePath(cacheDir, sha256), staging, { name });
    });
    return { version: source.version, dir, libraries: libraryDir, librariesKey };
  } finally {
    closeHttpClient(client);
  }
}
