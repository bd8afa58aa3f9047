/** The container of a .deb (deb(5)): an ar archive of debian-binary, control.tar.* and data.tar.*. */

import type { FileHandle } from 'node:fs/promises';
import { DebianError } from './error.ts';

/** "!<arch>\n" */
const MAGIC = '!<arch>\n';
/** name[16] mtime[12] uid[6] gid[6] mode[8] size[10] "`\n" */
const HEADER_BYTES = 60;
const NAME_BYTES = 16;
const SIZE_OFFSET = 48;
const SIZE_BYTES = 10;
const HEADER_END = '`\n';
/** A .deb has three members, plus a few that start with `_`. */
const MAX_MEMBERS = 64;

/** Where one member lies in the file. */
export interface ArMember {
  readonly name: string;
  /** Byte offset of its data. */
  readonly offset: number;
  /** Bytes. */
  readonly size: number;
}

async function readText(handle: FileHandle, offset: number, length: number): Promise<string> {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await handle.read(buffer, 0, length, offset);
  return buffer.toString('latin1', 0, bytesRead);
}

/**
 * Lists the members of an ar archive.
 *
 * @throws DebianError BAD_PACKAGE when it is none or is cut.
 */
export async function readArMembers(handle: FileHandle): Promise<ArMember[]> {
  const { size: total } = await handle.stat();
  if ((await readText(handle, 0, MAGIC.length)) !== MAGIC)
    throw new DebianError('BAD_PACKAGE', 'it is not an ar archive');
  const members: ArMember[] = [];
  let offset = MAGIC.length;
  while (offset < total) {
    const header = await readText(handle, offset, HEADER_BYTES);
    const sizeText = header.slice(SIZE_OFFSET, SIZE_OFFSET + SIZE_BYTES).trim();
    if (header.length < HEADER_BYTES)
      throw new DebianError('BAD_PACKAGE', 'it is truncated in an ar header');
    if (!header.endsWith(HEADER_END) || !/^\d+$/.test(sizeText) || members.length === MAX_MEMBERS) {
      throw new DebianError('BAD_PACKAGE', `its ar header at byte ${offset} is damaged`);
    }
    const name = header.slice(0, NAME_BYTES).trim().replace(/\/$/, '');
    const size = Number(sizeText);
    const start = offset + HEADER_BYTES;
    if (start + size > total) {
      throw new DebianError(
        'BAD_PACKAGE',
        `it is truncated: ${name} has ${total - start} of ${size} bytes`,
      );
    }
    members.push({ name, offset: start, size });
    // Members start at even offsets.
    offset = start + size + (size % 2);
  }
  return members;
}
