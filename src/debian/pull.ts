/**
 * `pull`: from package names to a root file system. Resolve (or read the lock), download, unpack
 * beside the old root, swap, write the lock.
 */

import { dirname, join, resolve } from 'node:path';
import type { MirrorChoice } from './apt_sources.ts';
import { chooseMirrors, readAptProxies } from './apt_sources.ts';
import { cachePath, download, isCached } from './cache.ts';
import { unpackDeb } from './deb.ts';
import { asError, DebianError, throwIfAborted } from './error.ts';
import type { HttpClient } from './http.ts';
import { closeHttpClient, createHttpClient } from './http.ts';
import { fetchIndex } from './index_fetch.ts';
import type { Lock, LockedPackage } from './lock.ts';
import { makeLock, readLock, writeLock } from './lock.ts';
import { releaseText } from './release.ts';
import type { PullReport } from './report.ts';
import { resolvePackages } from './resolve.ts';
import {
  checkRoot,
  commitStaging,
  dropStaging,
  openStaging,
  ownedPaths,
  readInstalled,
  recordPackage,
  recoverRoot,
  removePaths,
} from './rootfs.ts';
import { findKeyrings, readKeyrings } from './signature.ts';

/** The stable Debian release that has riscv64. */
export const DEFAULT_SUITE = 'trixie';
const LOCK_NAME = 'cowshed.lock.json';
const SKEW_PAUSE_MS = 2000;
/** Downloads at the same time; mirrors ask for few. */
const PARALLEL_DOWNLOADS = 4;

export interface PullOptions {
  /** Package names; none means: what the lock file lists. */
  readonly packages: readonly string[];
  /** Directory of the root file system. */
  readonly root: string;
  /** Default: `cowshed.lock.json` beside the root. */
  readonly lockFile?: string;
  /** Default: the lock's suite, else the stable one. */
  readonly suite?: string;
  readonly mirror?: string;
  readonly keyring?: string;
  readonly cacheDir: string;
  /** Use exactly the lock file, or fail. */
  readonly frozen?: boolean;
  /** Ignore the lock file's versions. */
  readonly update?: boolean;
  readonly allowUnsigned?: boolean;
  readonly allowExpired?: boolean;
  /** Milliseconds to wait before a mirror in the middle of an update is asked again. */
  readonly skewPauseMs?: number;
  readonly env: NodeJS.ProcessEnv;
  readonly report: PullReport;
  readonly signal?: AbortSignal;
}

export interface PullResult {
  readonly root: string;
  readonly lockFile: string;
  readonly suite: string;
  readonly release: string;
  readonly packages: readonly {
    readonly name: string;
    readonly version: string;
    readonly state: 'kept' | 'unpacked';
  }[];
  /** Bytes of the packages that were not in the cache. */
  readonly downloadedBytes: number;
  /** Bytes of file contents written. */
  readonly unpackedBytes: number;
}

/** State of one pull. */
interface Pull {
  readonly options: PullOptions;
  readonly client: HttpClient;
  readonly lockFile: string;
  readonly suite: string;
  readonly requested: readonly string[];
  downloadedBytes: number;
}

/** Chooses mirrors, and has the client use apt's proxies for those that apt named. */
function prepareMirrors(pull: Pull): MirrorChoice {
  const { options, client } = pull;
  const choice = chooseMirrors(options.mirror, options.env);
  if (choice.fromApt) client.env = { ...readAptProxies(), ...options.env };
  return choice;
}

/** Names the packages of the new lock that are not as in the old one. */
function describeChanges(old: Lock | null, packages: readonly LockedPackage[]): string {
  const before = new Map(old?.packages.map(({ name, version }) => [name, version]));
  const changes: string[] = [];
  for (const { name, version } of packages) {
    const known = before.get(name);
    if (known !== undefined && known !== version) changes.push(`${name} ${known} -> ${version}`);
  }
  return changes.join(', ');
}

/** Resolves all requested packages from a fresh index. */
async function resolveFresh(pull: Pull): Promise<Lock> {
  const { options, client, suite, requested } = pull;
  const { mirrors, keyrings } = prepareMirrors(pull);
  const allowUnsigned = options.allowUnsigned === true;
  const keys = allowUnsigned ? null : await readKeyrings(findKeyrings(options.keyring, keyrings));
  if (allowUnsigned)
    options.report.say('The signature of the release is not checked (--allow-unsigned)');
  const { report, cacheDir } = options;
  const allowExpired = options.allowExpired === true;
  const skewPauseMs = options.skewPauseMs ?? SKEW_PAUSE_MS;
  let failure: Error | undefined;
  for (const mirror of mirrors) {
    try {
      const source = { client, mirror, keys, allowExpired, cacheDir, report, skewPauseMs };
      const { release, index } = await fetchIndex(source, suite);
      return makeLock(suite, releaseText(release), requested, resolvePackages(index, requested));
    } catch (error) {
      failure ??= asError(error);
      const passing =
        error instanceof DebianError &&
        ['NETWORK', 'SKEW', 'EXPIRED', 'NOT_FOUND', 'BAD_SIGNATURE'].includes(error.code);
      if (!passing) throw error;
    }
  }
  throw failure ?? new DebianError('NO_MIRROR', 'Cannot pull: there is no mirror to try');
}

/** Fetches one package. @returns false when no mirror has it. */
async function fetchPackage(
  pull: Pull,
  mirrors: readonly string[],
  file: LockedPackage,
): Promise<boolean> {
  const { client, options } = pull;
  let failure: Error | undefined;
  for (const mirror of mirrors) {
    try {
      const address = `${mirror}/${encodeURI(file.filename)}`;
      const path = await download(client, options.cacheDir, address, file, (bytes) =>
        options.report.advance(bytes),
      );
      if (path !== null) return true;
    } catch (error) {
      failure ??= asError(error);
      throwIfAborted(options.signal);
    }
  }
  if (failure !== undefined) throw failure;
  return false;
}

/**
 * Downloads what the cache does not have.
 *
 * @returns packages that have vanished from the pool.
 */
async function fetchPackages(
  pull: Pull,
  packages: readonly LockedPackage[],
): Promise<LockedPackage[]> {
  const { options } = pull;
  const missing: LockedPackage[] = [];
  for (const file of packages) if (!(await isCached(options.cacheDir, file))) missing.push(file);
  if (missing.length === 0) return [];
  const { mirrors } = prepareMirrors(pull);
  const total = missing.reduce((sum, { size }) => sum + size, 0);
  const vanished: LockedPackage[] = [];
  const queue = [...missing];
  const work = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      if (await fetchPackage(pull, mirrors, next)) pull.downloadedBytes += next.size;
      else vanished.push(next);
    }
  };
  options.report.begin(
    `Fetching ${missing.length} package${missing.length === 1 ? '' : 's'}`,
    total,
  );
  try {
    const workers = await Promise.allSettled(Array.from({ length: PARALLEL_DOWNLOADS }, work));
    for (const worker of workers) if (worker.status === 'rejected') throw worker.reason;
  } finally {
    options.report.end();
  }
  return vanished;
}

function packageText({ name, version }: LockedPackage): string {
  return `${name} ${version}`;
}

/** Settles on a set of packages and has all of them in the cache. */
async function obtain(pull: Pull, lock: Lock | null, usable: boolean): Promise<Lock> {
  const { options } = pull;
  let chosen = usable && lock !== null ? lock : await resolveFresh(pull);
  let vanished = await fetchPackages(pull, chosen.packages);
  if (vanished.length > 0 && chosen === lock) {
    const names = vanished.map(packageText).join(', ');
    if (options.frozen === true) {
      throw new DebianError(
        'LOCK',
        `Cannot fetch the locked packages: ${names} vanished from the mirror, and --frozen forbids to take newer versions`,
      );
    }
    options.report.say(`Locked packages have vanished from the mirror: ${names}; resolving anew`);
    chosen = await resolveFresh(pull);
    vanished = await fetchPackages(pull, chosen.packages);
  }
  if (vanished.length > 0) {
    const names = vanished.map(packageText).join(', ');
    throw new DebianError(
      'SKEW',
      `Cannot fetch ${names}: the index names it, but the mirror does not have it; try again later, or name another --mirror`,
    );
  }
  const changes = describeChanges(lock, chosen.packages);
  if (changes !== '') options.report.say(`Newer than the lock file: ${changes}`);
  return chosen;
}

/** Unpacks what the root does not have. @returns the names unpacked and the bytes written. */
async function unpackAll(pull: Pull, lock: Lock): Promise<{ names: Set<string>; bytes: number }> {
  const { options } = pull;
  recoverRoot(options.root);
  checkRoot(options.root);
  const installed = readInstalled(options.root);
  const todo = lock.packages.filter(
    ({ name, version }) => installed.get(name)?.version !== version,
  );
  if (todo.length === 0) return { names: new Set(), bytes: 0 };
  const staging = openStaging(options.root);
  let bytes = 0;
  options.report.begin(
    `Unpacking ${todo.length} package${todo.length === 1 ? '' : 's'}`,
    todo.reduce((sum, { size }) => sum + size, 0),
  );
  try {
    const before = todo.flatMap(({ name }) => ownedPaths(staging.dir, name));
    for (const { name, version, size, sha256, filename } of todo) {
      throwIfAborted(options.signal);
      const deb = await unpackDeb(cachePath(options.cacheDir, sha256), staging.dir, {
        name: filename.slice(filename.lastIndexOf('/') + 1),
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      });
      if (deb.fields.get('package') !== name || deb.fields.get('version') !== version) {
        throw new DebianError(
          'BAD_PACKAGE',
          `Cannot unpack "${filename}": it holds ${deb.fields.get('package') ?? ''}, want ${name} ${version}`,
        );
      }
      recordPackage(staging, deb);
      bytes += deb.bytes;
      options.report.advance(size);
    }
    removePaths(staging, before);
    throwIfAborted(options.signal);
    commitStaging(staging);
  } catch (error) {
    dropStaging(staging);
    throw error;
  } finally {
    options.report.end();
  }
  return { names: new Set(todo.map(({ name }) => name)), bytes };
}

function preparePull(
  options: PullOptions,
  client: HttpClient,
  lockFile: string,
  lock: Lock | null,
): Pull {
  const requested = [...new Set([...(lock?.requested ?? []), ...options.packages])].sort();
  if (requested.length === 0) {
    throw new DebianError(
      'LOCK',
      `Cannot pull: name a package, or have a lock file at "${lockFile}"`,
    );
  }
  for (const name of options.packages) {
    if (!/^[a-z0-9][a-z0-9+.-]+$/.test(name))
      throw new DebianError(
        'NOT_FOUND',
        `Cannot install "${name}": it is no name of a Debian package`,
      );
  }
  const suite = options.suite ?? lock?.suite ?? DEFAULT_SUITE;
  if (!/^[\w.~/+-]+$/.test(suite) || suite.split('/').includes('..'))
    throw new DebianError('NOT_FOUND', `Cannot use suite "${suite}": it is no name of a suite`);
  return { options, client, lockFile, suite, requested, downloadedBytes: 0 };
}

/** Whether the lock lists exactly what is asked for. */
function lockCovers(pull: Pull, lock: Lock | null): boolean {
  if (lock === null || pull.options.update === true || lock.suite !== pull.suite) return false;
  return pull.requested.every((name) => lock.requested.includes(name));
}

/**
 * Makes sure that the root file system has the named packages and all they need.
 *
 * @throws DebianError with one line for the user; the root and the lock file are then as before.
 */
export async function pullPackages(options: PullOptions): Promise<PullResult> {
  const root = resolve(options.root);
  const lockFile = options.lockFile ?? join(dirname(root), LOCK_NAME);
  checkRoot(root);
  const lock = readLock(lockFile);
  const client = createHttpClient(options.env, options.signal);
  try {
    const pull = preparePull({ ...options, root }, client, lockFile, lock);
    const covers = lockCovers(pull, lock);
    if (!covers && options.frozen === true) {
      throw new DebianError(
        'LOCK',
        `Cannot use lock file "${lockFile}": it does not list exactly these packages and suite, and --frozen forbids to change it`,
      );
    }
    const chosen = await obtain(pull, lock, covers);
    const { names, bytes } = await unpackAll(pull, chosen);
    if (chosen !== lock) await writeLock(lockFile, chosen);
    return {
      root,
      lockFile,
      suite: chosen.suite,
      release: chosen.release,
      packages: chosen.packages.map(({ name, version }) => ({
        name,
        version,
        state: names.has(name) ? 'unpacked' : 'kept',
      })),
      downloadedBytes: pull.downloadedBytes,
      unpackedBytes: bytes,
    };
  } finally {
    closeHttpClient(client);
  }
}
