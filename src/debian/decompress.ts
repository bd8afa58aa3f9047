/** The compressions that Debian uses, as streams of bytes. */

import { Readable } from 'node:stream';
import * as zlib from 'node:zlib';
import xz from 'xz-decompress';
import { DebianError } from './error.ts';

/** Node has zstd since 22.15; the types of older versions do not know it. */
interface MaybeZstd {
  createZstdDecompress?: () => zlib.Gunzip;
}

async function* throughNode(
  input: AsyncIterable<Uint8Array>,
  transform: zlib.Gunzip,
): AsyncGenerator<Uint8Array> {
  const source = Readable.from(input, { objectMode: false });
  source.once('error', (error) => transform.destroy(error));
  try {
    yield* source.pipe(transform) as AsyncIterable<Uint8Array>;
  } finally {
    source.destroy();
    transform.destroy();
  }
}

async function* throughXz(input: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const source = Readable.toWeb(
    Readable.from(input, { objectMode: false }),
  ) as ReadableStream<Uint8Array>;
  const reader = new xz.XzReadableStream(source).getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/**
 * Decompresses by the file name's ending (`.xz`, `.gz`, `.zst`, none).
 *
 * @throws DebianError BAD_PACKAGE for a compression that is not known here; the stream itself throws
 * a plain Error when the data are damaged or end too early.
 */
export function decompress(
  name: string,
  input: AsyncIterable<Uint8Array>,
): AsyncIterable<Uint8Array> {
  const ending = /\.(xz|gz|zst|lzma|bz2)$/.exec(name)?.[1] ?? '';
  switch (ending) {
    case '':
      return input;
    case 'gz':
      return throughNode(input, zlib.createGunzip());
    case 'xz':
      return throughXz(input);
    case 'zst': {
      const create = (zlib as MaybeZstd).createZstdDecompress;
      if (create !== undefined) return throughNode(input, create());
      throw new DebianError(
        'BAD_PACKAGE',
        `Cannot decompress ${name}: zstd needs Node 22.15 or newer`,
      );
    }
    default:
      throw new DebianError(
        'BAD_PACKAGE',
        `Cannot decompress ${name}: .${ending} is not supported`,
      );
  }
}
