/** The signed table of contents of one suite (`InRelease`): which indexes exist and their checksums. */

import type { PublicKey } from 'openpgp';
import type { ExpectedFile } from './cache.ts';
import { fieldWords, parseStanza } from './deb822.ts';
import { DebianError } from './error.ts';
import type { HttpClient } from './http.ts';
import { fetchDocument } from './http.ts';
import { textWithoutCheck, verifyClearSigned } from './signature.ts';

export interface Release {
  /** `stable`; empty when the file does not say. */
  readonly suite: string;
  /** `trixie`. */
  readonly codename: string;
  /** `13.8`; empty for suites that have no versions. */
  readonly version: string;
  /** As the file writes it. */
  readonly date: string;
  /** Milliseconds since the epoch after which the file must not be used; null without a limit. */
  readonly validUntil: number | null;
  readonly architectures: readonly string[];
  /** Whether indexes can also be fetched by their checksum, which a mirror update cannot break. */
  readonly acquireByHash: boolean;
  /** Path below `dists/SUITE` -> what the file must be. */
  readonly files: ReadonlyMap<string, ExpectedFile>;
  /** Directory below `dists` that the release was read from. */
  readonly dist: string;
}

/** What is needed to fetch and believe a release. */
export interface ReleaseSource {
  readonly client: HttpClient;
  readonly mirror: string;
  /** Null: --allow-unsigned. */
  readonly keys: readonly PublicKey[] | null;
  readonly allowExpired: boolean;
}

/** Parses the text of a `Release` file. */
export function parseRelease(text: string, dist: string): Release {
  const fields = parseStanza(text);
  const files = new Map<string, ExpectedFile>();
  for (const line of (fields.get('sha256') ?? '').split('\n')) {
    const [sha256, size, path] = line.split(/\s+/);
    if (sha256 === undefined || path === undefined || !/^[0-9a-f]{64}$/i.test(sha256)) continue;
    files.set(path, { size: Number(size), sha256: sha256.toLowerCase() });
  }
  if (files.size === 0)
    throw new DebianError(
      'BAD_FORMAT',
      `Cannot read release "${dist}": it lists no SHA256 checksums`,
    );
  const validUntil = Date.parse(fields.get('valid-until') ?? '');
  return {
    suite: fields.get('suite') ?? '',
    codename: fields.get('codename') ?? '',
    version: fields.get('version') ?? '',
    date: fields.get('date') ?? '',
    validUntil: Number.isNaN(validUntil) ? null : validUntil,
    architectures: fieldWords(fields, 'architectures'),
    acquireByHash: fields.get('acquire-by-hash') === 'yes',
    files,
    dist,
  };
}

/** The release for people: `trixie 13.8 of 21 Nov 2026`. */
export function releaseText(release: Release): string {
  const name = release.codename === '' ? release.dist : release.codename;
  const day = /\d{1,2} \w{3} \d{4}/.exec(release.date)?.[0];
  return [name, release.version, day === undefined ? '' : `of ${day}`]
    .filter((part) => part !== '')
    .join(' ');
}

/**
 * Fetches and checks the release in `dists/DIST`.
 *
 * @param fresh asks caches on the way for a new copy.
 * @returns null when the mirror has no such directory.
 * @throws DebianError BAD_SIGNATURE, EXPIRED, BAD_FORMAT, NETWORK
 */
export async function fetchRelease(
  source: ReleaseSource,
  dist: string,
  fresh: boolean,
): Promise<Release | null> {
  const bytes = await fetchDocument(
    source.client,
    `${source.mirror}/dists/${encodeURI(dist)}/InRelease`,
    fresh,
  );
  if (bytes === null) return null;
  const message = bytes.toString('utf8');
  const text =
    source.keys === null
      ? textWithoutCheck(message)
      : (await verifyClearSigned(message, source.keys, dist)).text;
  const release = parseRelease(text, dist);
  if (release.validUntil !== null && release.validUntil < Date.now() && !source.allowExpired) {
    const day = new Date(release.validUntil).toISOString().slice(0, 10);
    throw new DebianError(
      'EXPIRED',
      `Cannot trust release "${dist}": this copy was valid until ${day}, the mirror is out of date; name another with --mirror, another --suite, or accept it with --allow-expired`,
    );
  }
  return release;
}

/** Whether a release found under another name is the same suite: both names must agree with the first. */
export function isSameSuite(wanted: Release, other: Release): boolean {
  return (
    wanted.codename !== '' && wanted.codename === other.codename && wanted.suite === other.suite
  );
}

/** Other directories below `dists` under which a mirror keeps the same suite. */
export function otherNames(release: Release): string[] {
  return [release.codename, release.suite].filter(
    (name) => name !== '' && name !== release.dist && !name.includes('/'),
  );
}
