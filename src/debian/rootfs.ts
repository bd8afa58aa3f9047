/**
 * The directory that packages are unpacked into. A change is built beside it (unchanged files are
 * hard links, so this is quick) and takes its place by rename: a pull that fails or is interrupted
 * leaves the directory as it was.
 */

import type { Dirent } from 'node:fs';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { UnpackedDeb } from './deb.ts';
import type { Stanza } from './deb822.ts';
import { parseStanza } from './deb822.ts';
import { DebianError } from './error.ts';
import { lstatOrNull, memberComponents, resolveDirectory } from './root_path.ts';

const STATUS_PATH = 'var/lib/dpkg/status';
const INFO_DIR = 'var/lib/dpkg/info';
/** Links of the merged /usr (Debian since bookworm): packages still use both names. */
const USR_LINKS = ['bin', 'lib', 'sbin'];
/** Directories a program may expect although no package in a small closure ships them, with modes. */
const SKELETON: readonly (readonly [path: string, mode: number])[] = [
  ['usr/bin', 0o755],
  ['usr/lib', 0o755],
  ['usr/sbin', 0o755],
  ['dev', 0o755],
  ['etc', 0o755],
  ['home', 0o755],
  ['proc', 0o755],
  ['root', 0o700],
  ['run', 0o755],
  ['sys', 0o755],
  ['tmp', 0o1777],
  ['var/tmp', 0o1777],
];
/** base-passwd's maintainer script copies its master files; without the package these two users do. */
const ACCOUNT_FILES = [
  {
    path: 'etc/passwd',
    master: 'usr/share/base-passwd/passwd.master',
    text: 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n',
  },
  {
    path: 'etc/group',
    master: 'usr/share/base-passwd/group.master',
    text: 'root:x:0:\nnogroup:x:65534:\n',
  },
];

/** Shells that can be /bin/sh, best first. Debian's own is essential, so no package depends on it. */
const SHELLS = ['dash', 'bash', 'busybox'];

/** What dpkg's status file says of one package. */
export interface InstalledPackage {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  /** The whole stanza. */
  readonly text: string;
}

/** A change under way. */
export interface Staging {
  /** Directory to unpack into. */
  readonly dir: string;
  /** The root file system it will replace. */
  readonly root: string;
  readonly installed: Map<string, InstalledPackage>;
}

function toInstalled(text: string): InstalledPackage | null {
  const fields: Stanza = parseStanza(text);
  const name = fields.get('package');
  const version = fields.get('version');
  if (name === undefined || version === undefined) return null;
  return { name, version, architecture: fields.get('architecture') ?? '', text };
}

/** Packages that the root file system has, by name; none when there is no such directory. */
export function readInstalled(root: string): Map<string, InstalledPackage> {
  const path = join(root, STATUS_PATH);
  const installed = new Map<string, InstalledPackage>();
  if (!existsSync(path)) return installed;
  for (const text of readFileSync(path, 'utf8').split('\n\n')) {
    const found = toInstalled(text.trim());
    if (found !== null) installed.set(found.name, found);
  }
  return installed;
}

/**
 * Checks that a pull may replace the directory: it is missing, empty, or a riscv64 Debian root.
 *
 * @throws DebianError ROOT
 */
export function checkRoot(root: string): void {
  const fail = (cause: string): DebianError =>
    new DebianError('ROOT', `Cannot pull into "${root}": ${cause}`);
  if (resolve(root) === dirname(resolve(root))) throw fail('it is the root of the host');
  const stats = lstatOrNull(root);
  if (stats === null) return;
  if (!stats.isDirectory()) throw fail('it is not a directory');
  const installed = readInstalled(root);
  if (installed.size === 0 && readdirSync(root).length > 0)
    throw fail('it is not empty and no root file system of Debian');
  for (const { name, architecture } of installed.values()) {
    if (architecture !== 'riscv64' && architecture !== 'all')
      throw fail(`it holds ${name} for ${architecture}, not riscv64`);
  }
}

function sibling(root: string, kind: 'staging' | 'old'): string {
  return join(dirname(root), `.${basename(root)}.${kind}-${process.pid}`);
}

/** Cleans up after a pull that was killed: puts the root back, removes its staging directory. */
export function recoverRoot(root: string): void {
  const parent = dirname(root);
  if (!existsSync(parent)) return;
  const pattern = /\.(staging|old)-(\d+)$/;
  for (const name of readdirSync(parent)) {
    const match = pattern.exec(name);
    if (match === null || !name.startsWith(`.${basename(root)}.`) || isRunning(Number(match[2])))
      continue;
    if (match[1] === 'old' && !existsSync(root)) renameSync(join(parent, name), root);
    else rmSync(join(parent, name), { recursive: true, force: true });
  }
}

function isRunning(pid: number): boolean {
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function cloneEntry(from: string, to: string, entry: Dirent): void {
  if (entry.isDirectory()) cloneTree(from, to);
  else if (entry.isSymbolicLink()) symlinkSync(readlinkSync(from), to);
  else if (entry.isFile()) {
    try {
      linkSync(from, to);
    } catch {
      // A file system without hard links, or too many of them.
      copyFileSync(from, to);
    }
  }
}

/** Copies a tree with hard links for files. */
function cloneTree(from: string, to: string): void {
  mkdirSync(to);
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    cloneEntry(join(from, entry.name), join(to, entry.name), entry);
  }
  chmodSync(to, lstatSync(from).mode & 0o7777);
}

/** Begins a change of the root file system. Ends with commitStaging() or dropStaging(). */
export function openStaging(root: string): Staging {
  mkdirSync(dirname(root), { recursive: true });
  const dir = sibling(root, 'staging');
  const fresh = lstatOrNull(root) === null || readdirSync(root).length === 0;
  if (fresh) {
    mkdirSync(dir);
    for (const [path, mode] of SKELETON) {
      mkdirSync(join(dir, path), { recursive: true });
      chmodSync(join(dir, path), mode);
    }
    for (const name of USR_LINKS) symlinkSync(`usr/${name}`, join(dir, name));
  } else cloneTree(root, dir);
  return { dir, root, installed: readInstalled(root) };
}

export function dropStaging(staging: Staging): void {
  rmSync(staging.dir, { recursive: true, force: true });
}

function listPath(name: string): string {
  return `${INFO_DIR}/${name}.list`;
}

/** Replaces a file without writing through a hard link to the old root's copy. */
function replaceFile(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  rmSync(path, { force: true });
  writeFileSync(path, text);
}

/** Records an unpacked package as dpkg does. Its maintainer scripts have not run: "unpacked". */
export function recordPackage(staging: Staging, deb: UnpackedDeb): void {
  const name = deb.fields.get('package') ?? '';
  const text = deb.text.replace(/^Package:.*$/m, (line) => `${line}\nStatus: install ok unpacked`);
  const installed = toInstalled(text);
  if (installed !== null) staging.installed.set(name, installed);
  replaceFile(
    join(staging.dir, listPath(name)),
    ['/.', ...deb.paths].map((path) => `${path}\n`).join(''),
  );
}

/** Paths that dpkg's records say the package owns; none for a package that is not there. */
export function ownedPaths(dir: string, name: string): string[] {
  const path = join(dir, listPath(name));
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && line !== '/.');
}

/** The path with /bin, /lib and /sbin replaced by what they are links to. */
function withoutUsrLink(dir: string, path: string): string {
  const [, first = '', ...rest] = path.split('/');
  if (!USR_LINKS.includes(first) || lstatOrNull(join(dir, first))?.isSymbolicLink() !== true)
    return path;
  return ['', 'usr', first, ...rest].join('/');
}

function removeOwned(dir: string, path: string): void {
  if (lstatOrNull(join(dir, path)) === null) return;
  const components = memberComponents(path.slice(1));
  const parent = resolveDirectory(dir, components.slice(0, -1), path);
  const target = join(dir, ...parent, components.at(-1) ?? '');
  const stats = lstatOrNull(target);
  if (stats === null) return;
  if (!stats.isDirectory()) unlinkSync(target);
  else if (readdirSync(target).length === 0) rmdirSync(target);
}

/** Removes what an older version owned and nothing owns any more; directories only when empty. */
export function removePaths(staging: Staging, paths: readonly string[]): void {
  const { dir, installed } = staging;
  const owned = new Set<string>();
  for (const name of installed.keys()) {
    for (const path of ownedPaths(dir, name)) owned.add(withoutUsrLink(dir, path));
  }
  const before = new Set(paths.map((path) => withoutUsrLink(dir, path)));
  const gone = [...before].filter((path) => !owned.has(path)).sort();
  // Contents come behind their directory in this order, so from the end.
  for (const path of gone.reverse()) removeOwned(dir, path);
}

/** Adds what maintainer scripts or essential packages would have: accounts and /bin/sh. */
function completeRoot(dir: string): void {
  for (const { path, master, text } of ACCOUNT_FILES) {
    if (lstatOrNull(join(dir, path)) !== null) continue;
    const source = join(dir, master);
    replaceFile(
      join(dir, path),
      lstatOrNull(source)?.isFile() === true ? readFileSync(source, 'utf8') : text,
    );
  }
  const bin = join(dir, 'usr/bin');
  const shell = SHELLS.find((name) => lstatOrNull(join(bin, name)) !== null);
  if (shell !== undefined && lstatOrNull(join(bin, 'sh')) === null)
    symlinkSync(shell, join(bin, 'sh'));
}

/** Makes the staged tree the root file system. */
export function commitStaging(staging: Staging): void {
  const { dir, root } = staging;
  completeRoot(dir);
  const stanzas = [...staging.installed.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  replaceFile(join(dir, STATUS_PATH), stanzas.map(({ text }) => `${text}\n`).join('\n'));
  if (lstatOrNull(root) === null) {
    renameSync(dir, root);
    return;
  }
  const old = sibling(root, 'old');
  renameSync(root, old);
  renameSync(dir, root);
  rmSync(old, { recursive: true, force: true });
}
