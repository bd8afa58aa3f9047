/**
 * Gets the package index of a suite. A mirror is updated file by file: for minutes (a bad cache: for
 * days) the signed release and the index beside it can be of different updates. What is tried, in
 * this order: the index under its checksum, the index under its name in each compression, all again
 * with fresh copies, and the same suite under its other name (`stable` for `trixie`), which on many
 * mirrors is an older copy that fits.
 */

import { createReadStream } from 'node:fs';
import type { ExpectedFile } from './cache.ts';
import { cachePath, download, readDerived, writeDerived } from './cache.ts';
import { decompress } from './decompress.ts';
import { DebianError, errorText } from './error.ts';
import { pause } from './http.ts';
import type { PackageIndex } from './package_index.ts';
import { parsePackageIndex, slimPackages } from './package_index.ts';
import type { PullReport } from './report.ts';
import type { Release, ReleaseSource } from './release.ts';
import { fetchRelease, isSameSuite, otherNames, releaseText } from './release.ts';

/** Version of the slimmed text in the cache; a change of its fields needs a new one. */
const SLIM_FORMAT = 1;
const INDEX_DIR = 'main/binary-riscv64';
const ENDINGS = ['.xz', '.gz'];

export interface IndexSource extends ReleaseSource {
  readonly cacheDir: string;
  readonly report: PullReport;
  /** Milliseconds to wait before a mirror that does not fit together is asked again. */
  readonly skewPauseMs: number;
}

export interface FetchedIndex {
  readonly release: Release;
  readonly index: PackageIndex;
}

/** @returns the path of the file in the cache, or null when the mirror's copy is not the announced one. */
async function tryFile(
  source: IndexSource,
  address: string,
  file: ExpectedFile,
): Promise<string | null> {
  source.report.begin('Fetching the package index', file.size);
  try {
    return await download(source.client, source.cacheDir, address, file, (bytes) =>
      source.report.advance(bytes),
    );
  } catch (error) {
    if (error instanceof DebianError && error.code === 'BAD_CHECKSUM') return null;
    throw error;
  } finally {
    source.report.end();
  }
}

/** Fetches the index that the release announces. @returns null when the mirror does not have it. */
async function fetchPackages(source: IndexSource, release: Release): Promise<PackageIndex | null> {
  for (const ending of ENDINGS) {
    const path = `${INDEX_DIR}/Packages${ending}`;
    const file = release.files.get(path);
    if (file === undefined) continue;
    const derived = `packages-${file.sha256}.v${SLIM_FORMAT}`;
    const known = readDerived(source.cacheDir, derived);
    if (known !== null) return parsePackageIndex(known);
    const dist = `${source.mirror}/dists/${encodeURI(release.dist)}`;
    const byHash = `${dist}/${INDEX_DIR}/by-hash/SHA256/${file.sha256}`;
    const fetched =
      (release.acquireByHash ? await tryFile(source, byHash, file) : null) ??
      (await tryFile(source, `${dist}/${path}`, file));
    if (fetched === null) continue;
    const slim = await slimPackages(
      decompress(path, createReadStream(cachePath(source.cacheDir, file.sha256))),
    );
    const index = parsePackageIndex(slim);
    await writeDerived(source.cacheDir, derived, slim);
    return index;
  }
  return null;
}

function requireRiscv64(release: Release): void {
  if (
    release.files.has(`${INDEX_DIR}/Packages.xz`) ||
    release.files.has(`${INDEX_DIR}/Packages.gz`)
  )
    return;
  const list = release.architectures.join(' ');
  throw new DebianError(
    'NOT_FOUND',
    `Cannot use suite "${release.dist}": it has no riscv64 packages (its architectures: ${list})`,
  );
}

async function requireRelease(
  source: IndexSource,
  suite: string,
  fresh: boolean,
): Promise<Release> {
  const release = await fetchRelease(source, suite, fresh);
  if (release === null) {
    throw new DebianError(
      'NOT_FOUND',
      `Cannot find suite "${suite}": ${source.mirror} has no dists/${suite}/InRelease`,
    );
  }
  requireRiscv64(release);
  return release;
}

/** The same suite under another of its names, if that copy is trusted and fits together. */
async function fetchUnderOtherName(
  source: IndexSource,
  release: Release,
): Promise<FetchedIndex | null> {
  for (const name of otherNames(release)) {
    try {
      const other = await fetchRelease(source, name, true);
      if (other === null || !isSameSuite(release, other)) continue;
      const index = await fetchPackages(source, other);
      if (index === null) continue;
      source.report.say(
        `The mirror is in the middle of an update: its index is not that of ${releaseText(release)}; using ${releaseText(other)} (dists/${name}), which fits`,
      );
      return { release: other, index };
    } catch (error) {
      if (error instanceof DebianError && error.code === 'ABORTED') throw error;
      source.report.say(`dists/${name} is no help: ${errorText(error)}`);
    }
  }
  return null;
}

/**
 * Fetches the release and package index of a suite, getting around a mirror in the middle of an update.
 *
 * @throws DebianError SKEW when no copy of the index fits the release, and what fetchRelease() throws.
 */
export async function fetchIndex(source: IndexSource, suite: string): Promise<FetchedIndex> {
  const first = await requireRelease(source, suite, false);
  const index = await fetchPackages(source, first);
  if (index !== null) return { release: first, index };
  await pause(source.skewPauseMs, source.client.signal);
  const second = await requireRelease(source, suite, true);
  const again = await fetchPackages(source, second);
  if (again !== null) return { release: second, index: again };
  const other = await fetchUnderOtherName(source, second);
  if (other !== null) return other;
  throw new DebianError(
    'SKEW',
    `Cannot use suite "${suite}": the mirror is in the middle of an update, its package index does not match the signed release (${releaseText(second)}); try again later, or name another --mirror or --suite`,
  );
}
