/** A Debian mirror on the loopback interface, with packages, indexes and signatures made on the spot. */

import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { TarEntry } from 'modern-tar';
import { packTar } from 'modern-tar';
import { createCleartextMessage, generateKey, sign } from 'openpgp';

export function sha256(data: Uint8Array | string): string {
  return createHash('sha256').update(data).digest('hex');
}

/** A directory that is removed when the tests of the file are over. */
export function temporaryDir(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'cowshed-test-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** ar(5) with the given members. */
export function arArchive(members: readonly (readonly [name: string, data: Uint8Array])[]): Buffer {
  const parts: Buffer[] = [Buffer.from('!<arch>\n')];
  for (const [name, data] of members) {
    const header = `${name.padEnd(16)}${'0'.padEnd(12)}${'0'.padEnd(6)}${'0'.padEnd(6)}${'100644'.padEnd(8)}${String(data.length).padEnd(10)}\`\n`;
    parts.push(Buffer.from(header), Buffer.from(data));
    if (data.length % 2 === 1) parts.push(Buffer.from('\n'));
  }
  return Buffer.concat(parts);
}

export interface DebSpec {
  readonly name: string;
  readonly version?: string;
  /** More lines of the control file: `Depends: libc6`. */
  readonly control?: string;
  readonly files?: Readonly<Record<string, string>>;
  /** Entries as they are, for packages no Debian would make. */
  readonly entries?: readonly TarEntry[];
  /** What the mirror has instead of the package; its index names these bytes. */
  readonly damage?: (deb: Buffer) => Buffer;
}

export async function gzippedTar(entries: readonly TarEntry[]): Promise<Buffer> {
  return gzipSync(await packTar([...entries]));
}

export function controlText(spec: DebSpec): string {
  const lines = [
    `Package: ${spec.name}`,
    `Version: ${spec.version ?? '1.0'}`,
    'Architecture: riscv64',
  ];
  return `${[...lines, ...(spec.control === undefined ? [] : [spec.control])].join('\n')}\n`;
}

/** Entries of the directories above a file, which Debian's packages list too. */
function parentEntries(names: readonly string[]): TarEntry[] {
  const dirs = new Set<string>();
  for (const name of names) {
    const parts = name.split('/').slice(0, -1);
    for (let i = 2; i <= parts.length && parts[0] === '.'; i++)
      dirs.add(`${parts.slice(0, i).join('/')}/`);
  }
  return [...dirs].map((name) => ({ header: { name, size: 0, type: 'directory', mode: 0o755 } }));
}

export async function makeDeb(spec: DebSpec): Promise<Buffer> {
  const files = Object.entries(spec.files ?? {}).map(
    ([name, body]): TarEntry => ({
      header: { name, size: Buffer.byteLength(body), mode: 0o644, type: 'file' },
      body,
    }),
  );
  const control = controlText(spec);
  return arArchive([
    ['debian-binary', Buffer.from('2.0\n')],
    [
      'control.tar.gz',
      await gzippedTar([
        { header: { name: './control', size: control.length, type: 'file' }, body: control },
      ]),
    ],
    [
      'data.tar.gz',
      await gzippedTar([
        ...parentEntries(Object.keys(spec.files ?? {})),
        ...files,
        ...(spec.entries ?? []),
      ]),
    ],
  ]);
}

export interface SigningKey {
  readonly privateKey: Awaited<ReturnType<typeof generateKey>>['privateKey'];
  /** File with the public key. */
  readonly keyring: string;
}

export async function makeSigningKey(dir: string, name: string): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKey({
    userIDs: [{ name }],
    type: 'curve25519',
    format: 'object',
  });
  const keyring = join(dir, `${name}.asc`);
  writeFileSync(keyring, publicKey.armor());
  return { privateKey, keyring };
}

export async function clearSign(text: string, key: SigningKey): Promise<string> {
  const message = await createCleartextMessage({ text });
  return sign({ message, signingKeys: key.privateKey });
}

/** Files of a mirror by path, and what to do about single requests. */
export interface FakeMirror {
  readonly url: string;
  readonly files: Map<string, Buffer>;
  /** Requests so far, as `GET /path` or `GET /path bytes=5-`. */
  readonly log: string[];
  /** Called before each request; true when it has answered. */
  intercept: (request: IncomingMessage, response: ServerResponse) => boolean;
  close(): Promise<void>;
}

function answer(mirror: FakeMirror, request: IncomingMessage, response: ServerResponse): void {
  const path = decodeURIComponent(
    (request.url ?? '').replace(/^http:\/\/[^/]+/, '').replace(/^\//, ''),
  );
  const { range } = request.headers;
  mirror.log.push(`GET /${path}${range === undefined ? '' : ` ${range}`}`);
  if (mirror.intercept(request, response)) return;
  const data = mirror.files.get(path);
  if (data === undefined) {
    response.writeHead(404).end();
    return;
  }
  const from = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0);
  if (from > 0) {
    response.writeHead(206, {
      'Content-Range': `bytes ${from}-${data.length - 1}/${data.length}`,
      'Content-Length': data.length - from,
    });
  } else response.writeHead(200, { 'Content-Length': data.length });
  response.end(data.subarray(from));
}

export async function startMirror(): Promise<FakeMirror> {
  const holder: { mirror?: FakeMirror } = {};
  const server: Server = createServer((request, response) => {
    if (holder.mirror !== undefined) answer(holder.mirror, request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const mirror: FakeMirror = {
    url: `http://127.0.0.1:${port}`,
    files: new Map(),
    log: [],
    intercept: () => false,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  holder.mirror = mirror;
  return mirror;
}

export interface SuiteSpec {
  readonly codename: string;
  readonly suite: string;
  readonly packages: readonly DebSpec[];
  readonly key: SigningKey;
  /** More lines of the release: `Valid-Until: ...`. */
  readonly fields?: string;
}

const PACKAGES = 'main/binary-riscv64/Packages.gz';

/** Puts the packages into the pool. @returns the text of their index. */
export async function addToPool(mirror: FakeMirror, packages: readonly DebSpec[]): Promise<string> {
  const stanzas: string[] = [];
  for (const spec of packages) {
    const whole = await makeDeb(spec);
    const deb = spec.damage?.(whole) ?? whole;
    const filename = `pool/main/${spec.name[0]}/${spec.name}/${spec.name}_${spec.version ?? '1.0'}_riscv64.deb`;
    mirror.files.set(filename, deb);
    stanzas.push(
      `${controlText(spec)}Filename: ${filename}\nSize: ${deb.length}\nSHA256: ${sha256(deb)}\n`,
    );
  }
  return stanzas.join('\n');
}

/** Publishes packages as a suite under `dists/DIST`, with an index by name and by hash. */
export async function publish(mirror: FakeMirror, dist: string, spec: SuiteSpec): Promise<void> {
  const index = gzipSync(await addToPool(mirror, spec.packages));
  mirror.files.set(`dists/${dist}/${PACKAGES}`, index);
  mirror.files.set(`dists/${dist}/main/binary-riscv64/by-hash/SHA256/${sha256(index)}`, index);
  const text = [
    'Origin: Debian',
    `Suite: ${spec.suite}`,
    `Codename: ${spec.codename}`,
    'Version: 13.8',
    'Date: Sat, 21 Nov 2026 09:15:44 UTC',
    ...(spec.fields === undefined ? [] : [spec.fields]),
    'Acquire-By-Hash: yes',
    'Architectures: all amd64 riscv64',
    'Components: main',
    'SHA256:',
    ` ${sha256(index)} ${index.length} ${PACKAGES}`,
  ].join('\n');
  mirror.files.set(`dists/${dist}/InRelease`, Buffer.from(await clearSign(text, spec.key)));
}
