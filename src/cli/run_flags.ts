/** The flags of `cowshed run`: docker run's names and meanings where it has them. */

import { readFileSync } from 'node:fs';
import { posix, resolve } from 'node:path';
import type { SwapSpec } from '../machine/swap_device.ts';
import { CliError, oneLine } from './exit_code.ts';
import { parseSize } from './size.ts';

/** As commander delivers them. */
export interface RunFlags {
  readonly rootfs?: string;
  readonly volume?: readonly string[];
  readonly env?: readonly string[];
  readonly envFile?: readonly string[];
  readonly workdir?: string;
  readonly interactive?: boolean;
  readonly tty?: boolean;
  readonly memory?: string;
  readonly swap?: readonly string[];
  readonly cowPte: boolean;
  readonly jit?: string;
  readonly hostname?: string;
  readonly user?: string;
  readonly entrypoint?: string;
  /** True without a file name: standard error. */
  readonly strace?: string | true;
  readonly traceMm?: string | true;
  /** True or '' without a file name: DEFAULT_PROFILE. */
  readonly profile?: string | true;
  readonly profileInterval?: string;
  readonly coverage?: string;
  readonly traceBlocks?: string;
  readonly seed?: string;
  readonly maxInsns?: string;
  readonly stats?: boolean;
  readonly readOnly?: boolean;
}

/** A host directory to show in the guest. */
export interface Volume {
  readonly host: string;
  readonly guest: string;
  readonly readOnly: true;
}

/** What programs find in their environment unless told otherwise. */
const DEFAULT_ENV: Readonly<Record<string, string>> = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
};

/** Parses `HOST:GUEST[:ro]`. @throws CliError */
export function parseVolume(text: string): Volume {
  const [host, guest, mode, ...rest] = text.split(':');
  if (host === undefined || host === '' || guest === undefined || rest.length > 0) {
    throw new CliError(`Cannot read volume "${text}": want HOST:GUEST or HOST:GUEST:ro`);
  }
  if (!guest.startsWith('/'))
    throw new CliError(`Cannot read volume "${text}": the guest path is not absolute`);
  if (posix.normalize(guest) === '/')
    throw new CliError(`Cannot mount "${text}": the root is --rootfs's`);
  if (mode !== undefined && mode !== 'ro' && mode !== 'rw') {
    throw new CliError(`Cannot read volume "${text}": its mode is ${mode}, want ro or rw`);
  }
  if (mode === 'rw') {
    throw new CliError(`Cannot mount "${text}" for writing: the guest never writes to this host`);
  }
  return { host: resolve(host), guest, readOnly: true };
}

/** Parses `SIZE` (memory of this host), `FILE:SIZE`, or `FILE` for one that is a swap area already. @throws CliError */
export function parseSwap(text: string): SwapSpec {
  const colon = text.lastIndexOf(':');
  if (colon > 0) {
    const bytes = parseSize(text.slice(colon + 1), '--swap');
    return { file: resolve(text.slice(0, colon)), bytes };
  }
  return text.includes('/') ? { file: resolve(text) } : parseSize(text, '--swap');
}

/** Parses `on` or `off`. @throws CliError */
export function parseJit(text: string | undefined): boolean | undefined {
  if (text === undefined) return undefined;
  if (text === 'on' || text === 'off') return text === 'on';
  throw new CliError(`Cannot use --jit ${text}: want on or off`);
}

/** Parses a whole number of at least `least`; undefined stays. @throws CliError */
export function parseCount(
  text: string | undefined,
  flag: string,
  least: number,
): number | undefined {
  if (text === undefined) return undefined;
  const count = Number(text);
  if (/^\d+(e\d+)?$/.test(text) && Number.isSafeInteger(count) && count >= least) return count;
  throw new CliError(`Cannot read ${flag} "${text}": want a whole number, at least ${least}`);
}

/** Adds `K=V`, or `K` with the host's value, to the environment. */
function addVariable(env: Record<string, string>, text: string, host: NodeJS.ProcessEnv): void {
  const equals = text.indexOf('=');
  const name = equals < 0 ? text : text.slice(0, equals);
  if (name === '' || /\s/.test(name))
    throw new CliError(`Cannot set environment variable "${text}": it has no proper name`);
  if (equals >= 0) env[name] = text.slice(equals + 1);
  else if (host[name] !== undefined) env[name] = host[name];
}

function readEnvFile(path: string): string[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new CliError(`Cannot read environment file "${path}": ${oneLine(error)}`);
  }
  return text
    .split(/\r?\n/)
    .map((line) => line.trimStart())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

/** The guest's environment: defaults, then files, then single variables. */
export function guestEnvironment(
  flags: RunFlags,
  host: NodeJS.ProcessEnv,
  hostname: string,
): Record<string, string> {
  const env: Record<string, string> = { ...DEFAULT_ENV, HOSTNAME: hostname };
  if (flags.tty === true) env['TERM'] = host['TERM'] ?? 'xterm';
  for (const file of flags.envFile ?? [])
    for (const line of readEnvFile(file)) addVariable(env, line, host);
  for (const text of flags.env ?? []) addVariable(env, text, host);
  return env;
}

/** User and group ids of a process. */
export interface Identity {
  readonly uid: number;
  readonly gid: number;
}

/** Largest user or group id: the one above it means "leave it as it is" to the kernel. */
const MAX_ID = 2 ** 32 - 2;

/** A line of /etc/passwd or /etc/group whose name or id is `key`. */
function findAccount(text: string | null, key: string): string[] | undefined {
  return text
    ?.split('\n')
    .map((line) => line.split(':'))
    .find(([name, , id]) => name === key || id === key);
}

/**
 * Resolves `USER[:GROUP]`, names or numbers, with the guest's own account files.
 *
 * @param readGuest text of a guest file, or null.
 * @throws CliError for a name that the guest does not know.
 */
export function parseUser(text: string, readGuest: (path: string) => string | null): Identity {
  const [user = '', group, ...rest] = text.split(':');
  if (rest.length > 0) throw new CliError(`Cannot run as user "${text}": want USER or USER:GROUP`);
  const account = findAccount(readGuest('/etc/passwd'), user);
  const uid = /^\d+$/.test(user) ? Number(user) : Number(account?.[2]);
  if (user === '' || !(uid <= MAX_ID))
    throw new CliError(`Cannot run as user "${text}": the guest has no such user`);
  if (group === undefined) return { uid, gid: Number(account?.[3] ?? 0) };
  const gid = /^\d+$/.test(group)
    ? Number(group)
    : Number(findAccount(readGuest('/etc/group'), group)?.[2]);
  if (group === '' || !(gid <= MAX_ID))
    throw new CliError(`Cannot run as user "${text}": the guest has no such group`);
  return { uid, gid };
}

/** Bytes of guest memory; undefined for the machine's default. */
export function memoryBytes(flags: { readonly memory?: string }): number | undefined {
  return flags.memory === undefined ? undefined : parseSize(flags.memory, '--memory');
}
