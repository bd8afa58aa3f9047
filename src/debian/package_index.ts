/**
 * The list of all packages of one suite. The archive's own list is ~54 MB of text for 60 000
 * packages; only the fields that a dependency closure and a download need are kept (~a quarter),
 * and the kept text is what the cache stores.
 */

import { DebianError } from './error.ts';
import { parseStanza } from './deb822.ts';
import type { OrGroup } from './relation.ts';
import { parseRelations } from './relation.ts';
import { compareVersions } from './version.ts';

/** One binary package as the index describes it. */
export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  /** `Pre-Depends` and `Depends`, in this order. */
  readonly depends: readonly OrGroup[];
  readonly conflicts: readonly OrGroup[];
  readonly provides: readonly OrGroup[];
  /** Path below the mirror's base: `pool/main/b/bash/bash_5.2.37-2+b10_riscv64.deb`. */
  readonly filename: string;
  /** Bytes of the .deb. */
  readonly size: number;
  /** Lower-case hex. */
  readonly sha256: string;
  readonly priority: string;
}

export interface PackageIndex {
  /** Newest version of each name. */
  readonly packages: ReadonlyMap<string, DebianPackage>;
  /** Virtual (and real) name -> packages whose `Provides` names it. */
  readonly providers: ReadonlyMap<string, readonly DebianPackage[]>;
}

const KEPT_FIELDS =
  /^(?:Package|Version|Pre-Depends|Depends|Conflicts|Provides|Filename|Size|SHA256|Priority): .*$/gm;

/** Reduces the text of a `Packages` file, given in pieces, to the fields that are used. */
export async function slimPackages(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  const kept: string[] = [];
  let rest = '';
  const keep = (text: string): void => {
    for (const stanza of text.split('\n\n')) {
      const lines = stanza.match(KEPT_FIELDS);
      if (lines !== null) kept.push(lines.join('\n'));
    }
  };
  for await (const chunk of chunks) {
    const text = rest + decoder.decode(chunk, { stream: true });
    const end = text.lastIndexOf('\n\n');
    if (end < 0) {
      rest = text;
      continue;
    }
    keep(text.slice(0, end));
    rest = text.slice(end + 2);
  }
  keep(rest + decoder.decode());
  return kept.join('\n\n');
}

function parsePackage(text: string): DebianPackage | null {
  const fields = parseStanza(text);
  const name = fields.get('package');
  const version = fields.get('version');
  const filename = fields.get('filename');
  const size = Number(fields.get('size'));
  const sha256 = fields.get('sha256')?.toLowerCase();
  if (name === undefined || version === undefined || filename === undefined || sha256 === undefined)
    return null;
  if (!Number.isSafeInteger(size)) return null;
  return {
    name,
    version,
    depends: [
      ...parseRelations(fields.get('pre-depends') ?? ''),
      ...parseRelations(fields.get('depends') ?? ''),
    ],
    conflicts: parseRelations(fields.get('conflicts') ?? ''),
    provides: parseRelations(fields.get('provides') ?? ''),
    filename,
    size,
    sha256,
    priority: fields.get('priority') ?? 'optional',
  };
}

/** @throws DebianError BAD_FORMAT when the text holds no package at all. */
export function parsePackageIndex(text: string): PackageIndex {
  const packages = new Map<string, DebianPackage>();
  for (const stanza of text.split('\n\n')) {
    const found = parsePackage(stanza);
    if (found === null) continue;
    const known = packages.get(found.name);
    if (known === undefined || compareVersions(known.version, found.version) < 0)
      packages.set(found.name, found);
  }
  if (packages.size === 0)
    throw new DebianError('BAD_FORMAT', 'Cannot read the package index: it names no package');
  const providers = new Map<string, DebianPackage[]>();
  for (const provider of packages.values()) {
    for (const [provided] of provider.provides) {
      if (provided === undefined) continue;
      const list = providers.get(provided.name);
      if (list === undefined) providers.set(provided.name, [provider]);
      else if (!list.includes(provider)) list.push(provider);
    }
  }
  return { packages, providers };
}
