/**
 * The OpenPGP signature of a Debian release. Only the text that a signature covers is returned, so
 * nothing else of the file can be used by mistake.
 */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PublicKey } from 'openpgp';
import { DebianError, errorText } from './error.ts';

const KEYRING_DIRS = ['/usr/share/keyrings', '/etc/apt/keyrings', '/etc/apt/trusted.gpg.d'];
const KEYRING_NAME = /^debian-archive-keyring\.(?:pgp|gpg|asc)$/;
const PART_NAME = /^debian-archive-(?!removed).*\.(?:pgp|gpg|asc)$/;

/**
 * Finds the files with Debian's archive keys: the named one, else the ones that the apt sources
 * name, else the host's Debian keyring package.
 *
 * @throws DebianError NO_KEYRING
 */
export function findKeyrings(flag: string | undefined, fromSources: readonly string[]): string[] {
  if (flag !== undefined) {
    if (existsSync(flag)) return [flag];
    throw new DebianError('NO_KEYRING', `Cannot read keyring "${flag}": no such file`);
  }
  const named = fromSources.filter((file) => existsSync(file));
  if (named.length > 0) return named;
  for (const pattern of [KEYRING_NAME, PART_NAME]) {
    for (const dir of KEYRING_DIRS) {
      const files = existsSync(dir) ? readdirSync(dir).filter((name) => pattern.test(name)) : [];
      if (files.length > 0) return files.map((name) => join(dir, name));
    }
  }
  throw new DebianError(
    'NO_KEYRING',
    'Cannot check the signature of the release: no Debian keyring on this host; name one with --keyring FILE, or give the check up with --allow-unsigned',
  );
}

/** @throws DebianError NO_KEYRING when a file holds no OpenPGP keys. */
export async function readKeyrings(files: readonly string[]): Promise<PublicKey[]> {
  const { readKeys } = await import('openpgp');
  const keys: PublicKey[] = [];
  for (const file of files) {
    try {
      const bytes = readFileSync(file);
      const armored = bytes.subarray(0, 64).toString('latin1').includes('-----BEGIN PGP');
      const read = armored
        ? readKeys({ armoredKeys: bytes.toString('utf8') })
        : readKeys({ binaryKeys: bytes });
      keys.push(...(await read));
    } catch (error) {
      throw new DebianError(
        'NO_KEYRING',
        `Cannot read keyring "${file}": ${errorText(error)}`,
        error,
      );
    }
  }
  return keys;
}

/** A release text that at least one key has signed. */
export interface SignedText {
  readonly text: string;
  /** Names of the keys whose signature is good. */
  readonly signers: readonly string[];
}

/**
 * Checks a clear-signed message.
 *
 * @param what name of the release, for messages.
 * @returns the signed text.
 * @throws DebianError BAD_SIGNATURE unless at least one signature is by one of the keys and good now.
 */
export async function verifyClearSigned(
  message: string,
  keys: readonly PublicKey[],
  what: string,
): Promise<SignedText> {
  const { readCleartextMessage, verify } = await import('openpgp');
  const fail = (cause: string, error?: unknown): DebianError =>
    new DebianError('BAD_SIGNATURE', `Cannot trust release "${what}": ${cause}`, error);
  let result: Awaited<ReturnType<typeof verify>>;
  try {
    const parsed = await readCleartextMessage({ cleartextMessage: message });
    result = await verify({ message: parsed, verificationKeys: [...keys] });
  } catch (error) {
    throw fail(`it is not a clear-signed message (${errorText(error)})`, error);
  }
  const signers: string[] = [];
  const causes: string[] = [];
  for (const signature of result.signatures) {
    try {
      await signature.verified;
      const key = keys.find((candidate) => candidate.getKeys(signature.keyID).length > 0);
      signers.push(key?.getUserIDs()[0] ?? signature.keyID.toHex());
    } catch (error) {
      causes.push(errorText(error));
    }
  }
  if (signers.length === 0)
    throw fail(causes.length === 0 ? 'it has no signature' : [...new Set(causes)].join('; '));
  return { text: String(result.data), signers };
}

/** The text of a clear-signed message, signature unread (RFC 9580 section 7). For --allow-unsigned only. */
export function textWithoutCheck(message: string): string {
  const body =
    /^-----BEGIN PGP SIGNED MESSAGE-----\r?\n(?:.+\r?\n)*\r?\n([\s\S]*?)\r?\n-----BEGIN PGP SIGNATURE-----/m.exec(
      message,
    );
  return (body?.[1] ?? message).replace(/\r\n/g, '\n').replace(/^- /gm, '');
}
