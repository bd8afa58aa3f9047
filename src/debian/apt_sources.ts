/**
 * Which mirror to use. No host name of a mirror is written anywhere in this project: the user names
 * one, or the host's own apt configuration does (which is also what works behind a company proxy).
 */

import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fieldWords, parseStanzas } from './deb822.ts';
import { DebianError } from './error.ts';

/** One source of packages that apt knows. */
export interface AptSource {
  readonly uri: string;
  readonly suites: readonly string[];
  readonly components: readonly string[];
  /** Files of `Signed-By`. */
  readonly keyrings: readonly string[];
}

/** The mirrors to try, in order, and the keyrings that their sources name. */
export interface MirrorChoice {
  readonly mirrors: readonly string[];
  readonly keyrings: readonly string[];
  /** Whether they come from apt, so that its proxies are the right ones. */
  readonly fromApt: boolean;
}

/** Parses a deb822 `.sources` file; disabled sources and sources of source packages are left out. */
export function parseDeb822Sources(text: string): AptSource[] {
  const found: AptSource[] = [];
  for (const stanza of parseStanzas(text)) {
    if (/^(?:no|false|0|off|disable)$/i.test(stanza.get('enabled') ?? '')) continue;
    if (!fieldWords(stanza, 'types').includes('deb')) continue;
    const keyrings = fieldWords(stanza, 'signed-by').filter((word) => word.startsWith('/'));
    for (const uri of fieldWords(stanza, 'uris')) {
      found.push({
        uri,
        suites: fieldWords(stanza, 'suites'),
        components: fieldWords(stanza, 'components'),
        keyrings,
      });
    }
  }
  return found;
}

/** Parses a one-line-style `.list` file: `deb [options] URI SUITE COMPONENT...`. */
export function parseListSources(text: string): AptSource[] {
  const found: AptSource[] = [];
  for (const line of text.split('\n')) {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*([^#]*)/.exec(line);
    if (match === null) continue;
    const signedBy = /(?:^|\s)signed-by=(\S+)/.exec(match[1] ?? '')?.[1] ?? '';
    found.push({
      uri: match[2] ?? '',
      suites: [match[3] ?? ''],
      components: (match[4] ?? '').split(/\s+/).filter((word) => word !== ''),
      keyrings: signedBy.split(',').filter((file) => file.startsWith('/')),
    });
  }
  return found;
}

/** Reads all sources that apt on this host would read; none where there is no apt. */
export function readAptSources(aptDir = '/etc/apt'): AptSource[] {
  const files = [join(aptDir, 'sources.list')];
  try {
    for (const name of readdirSync(join(aptDir, 'sources.list.d')).sort())
      files.push(join(aptDir, 'sources.list.d', name));
  } catch {
    // No such directory: this host has no apt, or a very old one.
  }
  const found: AptSource[] = [];
  for (const file of files) {
    if (!file.endsWith('.list') && !file.endsWith('.sources')) continue;
    try {
      const text = readFileSync(file, 'utf8');
      found.push(...(file.endsWith('.list') ? parseListSources(text) : parseDeb822Sources(text)));
    } catch {
      // Unreadable for this user: apt would not use it either.
    }
  }
  return found;
}

/** Variables that apt-config is asked to print, and the option that each holds. */
const PROXY_OPTIONS = [
  'http_proxy',
  'Acquire::http::Proxy',
  'https_proxy',
  'Acquire::https::Proxy',
];

/** Parses `http_proxy='http://proxy:3128'` lines; DIRECT means none. */
export function parseAptProxies(text: string): Record<string, string> {
  const proxies: Record<string, string> = {};
  for (const [, name = '', value = ''] of text.matchAll(/^(https?_proxy)='([^']*)'$/gm)) {
    if (value !== '' && value !== 'DIRECT') proxies[name] = value;
  }
  return proxies;
}

/**
 * The proxies that apt on this host uses, as environment variables; none where there is no apt.
 * A mirror that only apt knows how to reach is no use without them.
 */
export function readAptProxies(): Record<string, string> {
  try {
    const text = execFileSync('apt-config', ['shell', ...PROXY_OPTIONS], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: 5000,
    });
    return parseAptProxies(text);
  } catch {
    return {};
  }
}

function withoutSlash(uri: string): string {
  return uri.replace(/\/+$/, '');
}

/** Whether the source can be the main Debian archive, as opposed to security updates or a vendor's own. */
function mayBeDebianArchive(source: AptSource): boolean {
  return (
    /^https?:\/\//.test(source.uri) &&
    source.components.includes('main') &&
    !source.suites.every((suite) => suite.includes('security') || suite.endsWith('/updates')) &&
    !/ubuntu/i.test(source.uri)
  );
}

/**
 * Chooses the mirrors: `--mirror`, else COWSHED_DEBIAN_MIRROR, else the host's apt sources.
 *
 * @throws DebianError NO_MIRROR when nothing names one or the name is not an http(s) URL.
 */
export function chooseMirrors(
  flag: string | undefined,
  env: NodeJS.ProcessEnv,
  sources: () => readonly AptSource[] = readAptSources,
): MirrorChoice {
  const named = flag ?? env['COWSHED_DEBIAN_MIRROR'];
  if (named !== undefined && named !== '') {
    if (!/^https?:\/\/[^/\s]/.test(named) || !URL.canParse(named)) {
      throw new DebianError(
        'NO_MIRROR',
        `Cannot use mirror "${named}": it is not an http:// or https:// URL`,
      );
    }
    return { mirrors: [withoutSlash(named)], keyrings: [], fromApt: false };
  }
  const usable = sources().filter(mayBeDebianArchive);
  // The archive is at /debian on every official mirror.
  usable.sort((a, b) => Number(!/\/debian\/?$/.test(a.uri)) - Number(!/\/debian\/?$/.test(b.uri)));
  const mirrors = [...new Set(usable.map((source) => withoutSlash(source.uri)))];
  if (mirrors.length === 0) {
    throw new DebianError(
      'NO_MIRROR',
      'Cannot choose a Debian mirror: this host has no apt sources; name one with --mirror URL or COWSHED_DEBIAN_MIRROR',
    );
  }
  return {
    mirrors,
    keyrings: [...new Set(usable.flatMap((source) => source.keyrings))],
    fromApt: true,
  };
}
