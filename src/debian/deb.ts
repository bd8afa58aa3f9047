/**
 * Unpacks one .deb into a directory. Only files, directories and links are made; maintainer scripts
 * are never run, and whatever the archive says stays below the directory.
 */

import {
  chmodSync,
  closeSync,
  fchmodSync,
  futimesSync,
  linkSync,
  mkdirSync,
  openSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { ParsedTarEntry, TarHeader } from 'modern-tar';
import { createTarDecoder } from 'modern-tar';
import type { ArMember } from './ar.ts';
import { readArMembers } from './ar.ts';
import { decompress } from './decompress.ts';
import type { Stanza } from './deb822.ts';
import { parseStanza } from './deb822.ts';
import { DebianError, errorText, throwIfAborted } from './error.ts';
import { lstatOrNull, memberComponents, resolveDirectory } from './root_path.ts';

/** Bytes a control.tar may have; the largest of Debian have about 1 MiB. */
const MAX_CONTROL_BYTES = 32 * 2 ** 20;
/** Unpacked bytes of one package, whatever it declares: three times the largest of Debian. */
const MAX_UNPACKED_BYTES = 8 * 2 ** 30;
/**
 * Installed-Size (KiB) counts file contents; the tar around them also has headers and padding, and
 * some packages declare a little too little. More than this is not a mistake any more.
 */
const UNPACKED_PER_DECLARED = 2;
const UNPACKED_SLACK_BYTES = 8 * 2 ** 20;
/** Size limit as a multiple of the compressed size for packages that declare nothing. */
const UNPACKED_PER_COMPRESSED = 100;
/** setuid and setgid bits are left off: the files belong to the user who pulled them, not to root. */
const MODE_BITS = 0o1777;
const CHUNK_BYTES = 256 * 1024;

/** What a package says about itself. */
export interface DebControl {
  readonly fields: Stanza;
  /** The control stanza as it is, without blank lines at its end. */
  readonly text: string;
}

export interface UnpackedDeb extends DebControl {
  /** Paths made, as dpkg lists them: `/usr/bin/bash`. */
  readonly paths: readonly string[];
  /** Bytes of file contents. */
  readonly bytes: number;
}

interface UnpackState {
  readonly root: string;
  readonly paths: string[];
  bytes: number;
}

async function* memberBytes(handle: FileHandle, member: ArMember): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < member.size; ) {
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, member.size - at));
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, member.offset + at);
    if (bytesRead === 0) throw new DebianError('BAD_PACKAGE', `it is truncated in ${member.name}`);
    yield buffer.subarray(0, bytesRead);
    at += bytesRead;
  }
}

/** Passes bytes on until there are more than the limit: a decompression bomb. */
async function* limited(
  input: AsyncIterable<Uint8Array>,
  limit: number,
  what: string,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const chunk of input) {
    bytes += chunk.length;
    if (bytes > limit) {
      throw new DebianError(
        'BAD_PACKAGE',
        `${what} unpacks to more than ${Math.ceil(limit / 2 ** 20)} MiB, which it does not declare`,
      );
    }
    yield chunk;
  }
}

/** Bytes of one tar block; an archive ends with two of zeros. */
const TAR_BLOCK_BYTES = 512;

/** Checks that the archive ends as an archive does; a reader of tar takes the end of input for it. */
async function* wholeTar(
  input: AsyncIterable<Uint8Array>,
  what: string,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  let zeros = 0;
  for await (const chunk of input) {
    bytes += chunk.length;
    let at = chunk.length;
    while (at > 0 && chunk[at - 1] === 0) at--;
    zeros = at === 0 ? zeros + chunk.length : chunk.length - at;
    yield chunk;
  }
  if (bytes % TAR_BLOCK_BYTES !== 0 || zeros < 2 * TAR_BLOCK_BYTES) {
    throw new DebianError('BAD_PACKAGE', `it is truncated: ${what} ends in the middle`);
  }
}

/** Entries of a tar archive. Every body must be consumed before the next entry is asked for. */
async function* tarEntries(input: AsyncIterable<Uint8Array>): AsyncGenerator<ParsedTarEntry> {
  const iterator = input[Symbol.asyncIterator]();
  const source = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const next = await iterator.next();
        if (next.done === true) controller.close();
        else controller.enqueue(next.value);
      } catch (error) {
        controller.error(error);
      }
    },
    async cancel() {
      await iterator.return?.(undefined);
    },
  });
  const reader = source.pipeThrough(createTarDecoder({ strict: true })).getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/** The compressed member `PREFIX.tar*`. */
function findMember(members: readonly ArMember[], prefix: string): ArMember {
  const member = members.find(
    ({ name }) => name === `${prefix}.tar` || name.startsWith(`${prefix}.tar.`),
  );
  if (member === undefined) throw new DebianError('BAD_PACKAGE', `it has no ${prefix}.tar`);
  return member;
}

async function readControl(handle: FileHandle, members: readonly ArMember[]): Promise<DebControl> {
  const member = findMember(members, 'control');
  const tar = limited(
    decompress(member.name, memberBytes(handle, member)),
    MAX_CONTROL_BYTES,
    member.name,
  );
  let text = '';
  for await (const entry of tarEntries(wholeTar(tar, member.name))) {
    const body = Buffer.from(await new Response(entry.body).arrayBuffer());
    if (entry.header.name.replace(/^\.\//, '') === 'control')
      text = body.toString('utf8').trimEnd();
  }
  const fields = parseStanza(text);
  if (!fields.has('package') || !fields.has('version'))
    throw new DebianError('BAD_PACKAGE', 'it has no control file');
  return { fields, text };
}

function unpackedLimit(control: DebControl, member: ArMember): number {
  const declared = Number(control.fields.get('installed-size'));
  const allowed = Number.isFinite(declared)
    ? declared * 1024 * UNPACKED_PER_DECLARED
    : member.size * UNPACKED_PER_COMPRESSED;
  return Math.min(allowed + UNPACKED_SLACK_BYTES, MAX_UNPACKED_BYTES);
}

/** Makes room for a member. A directory is never replaced by something else. */
function removeExisting(path: string, member: string): void {
  const stats = lstatOrNull(path);
  if (stats === null) return;
  if (stats.isDirectory())
    throw new DebianError(
      'BAD_PACKAGE',
      `member ${member} is not a directory, but one is there already`,
    );
  unlinkSync(path);
}

async function writeMemberFile(
  state: UnpackState,
  path: string,
  entry: ParsedTarEntry,
): Promise<void> {
  // The name was free a moment ago; 'wx' makes sure that no link is followed here.
  const fd = openSync(path, 'wx', 0o600);
  try {
    let bytes = 0;
    const reader = entry.body.getReader();
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      for (let at = 0; at < next.value.length; ) at += writeSync(fd, next.value, at);
      bytes += next.value.length;
    }
    if (bytes !== entry.header.size)
      throw new DebianError('BAD_PACKAGE', `it is truncated in ${entry.header.name}`);
    state.bytes += bytes;
    fchmodSync(fd, ((entry.header.mode ?? 0o644) & MODE_BITS) | 0o400);
    const mtime = entry.header.mtime ?? new Date(0);
    futimesSync(fd, mtime, mtime);
  } finally {
    closeSync(fd);
  }
}

function makeDirectory(root: string, components: readonly string[], header: TarHeader): void {
  const parent = resolveDirectory(root, components.slice(0, -1), header.name);
  const path = join(root, ...parent, components.at(-1) ?? '');
  const mode = ((header.mode ?? 0o755) & MODE_BITS) | 0o700;
  const stats = lstatOrNull(path);
  if (stats === null) mkdirSync(path);
  else if (!stats.isDirectory()) {
    // A link to a directory stays (/lib -> usr/lib), as dpkg does it.
    resolveDirectory(root, components, header.name);
    return;
  }
  chmodSync(path, mode);
}

function makeHardLink(root: string, path: string, header: TarHeader): void {
  const target = memberComponents((header.linkname ?? '').replace(/^\.\//, ''));
  const parent = resolveDirectory(root, target.slice(0, -1), header.name);
  const existing = join(root, ...parent, target.at(-1) ?? '');
  if (lstatOrNull(existing)?.isFile() !== true) {
    throw new DebianError(
      'BAD_PACKAGE',
      `member ${header.name} is a hard link to ${header.linkname ?? ''}, which is no file of the root`,
    );
  }
  removeExisting(path, header.name);
  linkSync(existing, path);
}

async function unpackMember(state: UnpackState, entry: ParsedTarEntry): Promise<void> {
  const { header } = entry;
  const components = memberComponents(header.name);
  if (components.length > 0) {
    const listed = `/${components.join('/')}`;
    const type = header.type ?? 'file';
    if (type === 'directory') makeDirectory(state.root, components, header);
    else {
      const parent = resolveDirectory(state.root, components.slice(0, -1), header.name);
      const path = join(state.root, ...parent, components.at(-1) ?? '');
      if (type === 'file') {
        removeExisting(path, header.name);
        await writeMemberFile(state, path, entry);
      } else if (type === 'symlink') {
        removeExisting(path, header.name);
        symlinkSync(header.linkname ?? '', path);
      } else if (type === 'link') makeHardLink(state.root, path, header);
      else throw new DebianError('BAD_PACKAGE', `member ${header.name} is a ${type}`);
    }
    state.paths.push(listed);
  }
  if (!entry.body.locked) await entry.body.cancel();
}

async function unpackOpen(
  handle: FileHandle,
  root: string,
  signal: AbortSignal | undefined,
): Promise<UnpackedDeb> {
  const members = await readArMembers(handle);
  if (members[0]?.name !== 'debian-binary')
    throw new DebianError('BAD_PACKAGE', 'it is not a Debian package');
  const control = await readControl(handle, members);
  const member = findMember(members, 'data');
  const plain = decompress(member.name, memberBytes(handle, member));
  const tar = wholeTar(limited(plain, unpackedLimit(control, member), member.name), member.name);
  const state: UnpackState = { root, paths: [], bytes: 0 };
  for await (const entry of tarEntries(tar)) {
    throwIfAborted(signal);
    await unpackMember(state, entry);
  }
  return { ...control, paths: state.paths, bytes: state.bytes };
}

/**
 * Unpacks a package into `root`, which should be a staging directory: on an error it is left half
 * filled.
 *
 * @param name what to call the package in messages; its file name by default.
 * @throws DebianError BAD_PACKAGE: `Cannot unpack "x.deb": member path ../../etc/passwd leaves the root`.
 */
export async function unpackDeb(
  file: string,
  root: string,
  options: { readonly name?: string; readonly signal?: AbortSignal } = {},
): Promise<UnpackedDeb> {
  const name = options.name ?? basename(file);
  const handle = await open(file, 'r');
  try {
    return await unpackOpen(handle, root, options.signal);
  } catch (error) {
    if (error instanceof DebianError && error.code === 'ABORTED') throw error;
    throw new DebianError('BAD_PACKAGE', `Cannot unpack "${name}": ${unpackCause(error)}`, error);
  } finally {
    await handle.close();
  }
}

function unpackCause(error: unknown): string {
  if (error instanceof DebianError) return error.message;
  const text = errorText(error);
  // xz-decompress names xz-embedded's result: 6 is a bad format, 7 damaged data, 8 an early end.
  const code = /failed with error code (\d+)/.exec(text)?.[1];
  if (code === '8') return 'its xz data end too early';
  if (code !== undefined) return 'its xz data are damaged';
  return text;
}
