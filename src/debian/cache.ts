/**
 * The download cache: files named after the SHA-256 of their content, which is checked whenever one
 * is used: disks and people damage files. A file appears by rename, whole or not at all; a transfer that was cut is kept
 * beside it and continued by the next pull.
 */

import { createHash } from 'node:crypto';
import { constants, createReadStream, existsSync, readFileSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { HttpClient } from './http.ts';
import { transferWithRetries } from './http.ts';
import { DebianError } from './error.ts';

/** Where downloads are kept: COWSHED_CACHE, or the platform's cache directory. */
export function defaultCacheDir(
  env: NodeJS.ProcessEnv,
  platform: NodeJS.Platform = process.platform,
): string {
  const chosen = env['COWSHED_CACHE'];
  if (chosen !== undefined && chosen !== '') return chosen;
  if (platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'cowshed');
  if (platform === 'win32')
    return join(env['LOCALAPPDATA'] ?? join(homedir(), 'AppData', 'Local'), 'cowshed', 'Cache');
  const xdg = env['XDG_CACHE_HOME'];
  return join(xdg === undefined || xdg === '' ? join(homedir(), '.cache') : xdg, 'cowshed');
}

/** What a download must turn out to be. */
export interface ExpectedFile {
  readonly size: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

/** Path of the cached file with this content, whether or not it is there. */
export function cachePath(cacheDir: string, sha256: string): string {
  return join(cacheDir, 'sha256', sha256.slice(0, 2), sha256.slice(2));
}

/** Whether the cache holds the file, whole and unchanged. */
export async function isCached(cacheDir: string, file: ExpectedFile): Promise<boolean> {
  const path = cachePath(cacheDir, file.sha256);
  try {
    return (await stat(path)).size === file.size && (await hashFile(path)) === file.sha256;
  } catch {
    return false;
  }
}

/** Writes a file so that a reader or a crash sees the old content or the new, never a part. */
export async function writeFileAtomic(path: string, data: string | Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    const handle = await open(temporary, 'w', 0o644);
    try {
      await handle.writeFile(data);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

function hashText(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** @returns the text of a cached derived file, or null when it is not there or damaged. */
export function readDerived(cacheDir: string, name: string): string | null {
  try {
    const stored = readFileSync(join(cacheDir, 'derived', name), 'utf8');
    const text = stored.slice(stored.indexOf('\n') + 1);
    return stored.startsWith(`${hashText(text)}\n`) ? text : null;
  } catch {
    return null;
  }
}

/** Stores the text below a line with its SHA-256. */
export function writeDerived(cacheDir: string, name: string, text: string): Promise<void> {
  return writeFileAtomic(join(cacheDir, 'derived', name), `${hashText(text)}\n${text}`);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/**
 * Takes over what an earlier pull left of this file. `HASH.part` belongs to nobody,
 * `HASH.PID.part` to a running pull; renaming is the lock.
 */
async function claimPart(target: string): Promise<string> {
  const mine = `${target}.${process.pid}.part`;
  await mkdir(dirname(target), { recursive: true });
  const prefix = `${basename(target)}.`;
  for (const name of await readdir(dirname(target))) {
    if (!name.startsWith(prefix) || !name.endsWith('part')) continue;
    const owner = Number(/\.(\d+)\.part$/.exec(name)?.[1] ?? Number.NaN);
    if (!Number.isNaN(owner) && owner !== process.pid && isAlive(owner)) continue;
    await rename(join(dirname(target), name), mine).catch(() => undefined);
  }
  return mine;
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    (found) => found.size,
    () => 0,
  );
}

async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) hash.update(chunk);
  return hash.digest('hex');
}

/** Bytes of the whole file as the server announces it; null when it does not. */
function announcedSize(response: IncomingMessage): number | null {
  const range = /\/(\d+)$/.exec(response.headers['content-range'] ?? '')?.[1];
  const text = response.statusCode === 206 ? range : response.headers['content-length'];
  return text === undefined || response.headers['content-encoding'] !== undefined
    ? null
    : Number(text);
}

/** Appends a response to the part. @returns false when the server has no such file. */
async function receive(
  handle: FileHandle,
  have: number,
  address: string,
  size: number,
  response: IncomingMessage,
  advance: (bytes: number) => void,
): Promise<boolean> {
  const status = response.statusCode ?? 0;
  if (status === 404 || status === 410) {
    response.resume();
    return false;
  }
  let at = have;
  if (status === 200 || status === 416) {
    await handle.truncate(0);
    advance(-have);
    at = 0;
  }
  if (status !== 200 && status !== 206) {
    response.resume();
    if (status === 416) throw new Error('the server refuses to continue the file');
    throw new DebianError('NETWORK', `Cannot fetch ${address}: the server answers ${status}`);
  }
  const announced = announcedSize(response);
  if (announced !== null && announced !== size) {
    response.destroy();
    throw new DebianError(
      'BAD_CHECKSUM',
      `Cannot use ${basename(address)}: it has ${announced} bytes, want ${size}`,
    );
  }
  for await (const chunk of response as AsyncIterable<Buffer>) {
    if (at + chunk.length > size) {
      throw new DebianError(
        'BAD_CHECKSUM',
        `Cannot use ${basename(address)}: it has more than the ${size} bytes it should`,
      );
    }
    await handle.write(chunk, 0, chunk.length, at);
    at += chunk.length;
    advance(chunk.length);
  }
  if (at < size) throw new Error(`the connection ended after ${at} of ${size} bytes`);
  return true;
}

/** One transfer into the cache; `have` counts the bytes of the part that is continued. */
interface Transfer {
  readonly client: HttpClient;
  readonly address: string;
  readonly file: ExpectedFile;
  readonly part: string;
  readonly advance: (bytes: number) => void;
}

/** Fills the part. @returns false when the server has no such file. */
async function fillPart(transfer: Transfer): Promise<boolean> {
  const { client, address, file, advance } = transfer;
  const handle = await open(transfer.part, constants.O_RDWR | constants.O_CREAT, 0o644);
  try {
    let have = (await handle.stat()).size;
    if (have > file.size) {
      await handle.truncate(0);
      have = 0;
    }
    advance(have);
    if (have === file.size) return true;
    const found = await transferWithRetries(
      client,
      address,
      () => ({ from: have }),
      async (response) => {
        try {
          return await receive(handle, have, address, file.size, response, advance);
        } finally {
          have = (await handle.stat()).size;
        }
      },
    );
    await handle.sync();
    return found;
  } finally {
    await handle.close();
  }
}

/** Moves a complete part to its place, if its content is what was announced. */
async function admitPart(transfer: Transfer, target: string): Promise<void> {
  const { address, file } = transfer;
  const actual = await hashFile(transfer.part);
  if (actual !== file.sha256) {
    throw new DebianError(
      'BAD_CHECKSUM',
      `Cannot use ${basename(address)}: its SHA256 is ${actual.slice(0, 16)}..., want ${file.sha256.slice(0, 16)}...`,
    );
  }
  await rename(transfer.part, target);
}

/**
 * Fetches a file into the cache, continuing what is there of it.
 *
 * @param advance told of every byte that arrives (negative when a start is thrown away).
 * @returns the path in the cache, or null when the server has no such file.
 * @throws DebianError BAD_CHECKSUM, NETWORK or ABORTED.
 */
export async function download(
  client: HttpClient,
  cacheDir: string,
  address: string,
  file: ExpectedFile,
  advance: (bytes: number) => void,
): Promise<string | null> {
  const target = cachePath(cacheDir, file.sha256);
  if (await isCached(cacheDir, file)) {
    advance(file.size);
    return target;
  }
  const part = await claimPart(target);
  const transfer: Transfer = { client, address, file, part, advance };
  const continued = existsSync(part);
  try {
    if (!(await fillPart(transfer))) {
      await rm(part, { force: true });
      return null;
    }
    await admitPart(transfer, target);
    return target;
  } catch (error) {
    const wrongBytes = error instanceof DebianError && error.code === 'BAD_CHECKSUM';
    if (!wrongBytes) {
      // A cut transfer is kept for the next pull.
      await rename(part, `${target}.part`).catch(() => undefined);
      throw error;
    }
    advance(-(await sizeOf(part)));
    await rm(part, { force: true });
    if (!continued) throw error;
    // The start may have come from another update of the mirror: once more, from nothing.
    return download(client, cacheDir, address, file, advance);
  }
}
