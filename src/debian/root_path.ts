/**
 * Paths of a package inside the root file system that is being built. Symbolic links are followed
 * as if the directory were the root of the file system, and nothing may lead out of it.
 */

import type { Stats } from 'node:fs';
import { lstatSync, mkdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { DebianError } from './error.ts';

/** Linux's limit on links in one path (MAXSYMLINKS). */
const MAX_SYMLINKS = 40;

export function lstatOrNull(path: string): Stats | null {
  return lstatSync(path, { throwIfNoEntry: false }) ?? null;
}

/**
 * Splits the path of an archive member.
 *
 * @returns its components; none for the root itself.
 * @throws DebianError BAD_PACKAGE when it is absolute or has a `..`.
 */
export function memberComponents(path: string): string[] {
  if (path.startsWith('/')) throw new DebianError('BAD_PACKAGE', `member path ${path} is absolute`);
  const components = path.split('/').filter((component) => component !== '' && component !== '.');
  if (components.includes('..'))
    throw new DebianError('BAD_PACKAGE', `member path ${path} leaves the root`);
  if (path.includes('\0')) throw new DebianError('BAD_PACKAGE', 'a member path has a NUL byte');
  return components;
}

/**
 * Finds the real directory that the components name, following links inside the root and creating
 * what is missing.
 *
 * @param member the member's path, for messages.
 * @returns components of a path below root that has no symbolic link in it.
 */
export function resolveDirectory(
  root: string,
  components: readonly string[],
  member: string,
): string[] {
  const pending = [...components];
  const done: string[] = [];
  let links = 0;
  for (let next = pending.shift(); next !== undefined; next = pending.shift()) {
    if (next === '..') {
      if (done.pop() === undefined) {
        throw new DebianError(
          'BAD_PACKAGE',
          `member ${member} goes through a symbolic link that leaves the root`,
        );
      }
      continue;
    }
    const here = join(root, ...done, next);
    const stats = lstatOrNull(here);
    if (stats === null) mkdirSync(here, 0o755);
    if (stats?.isSymbolicLink() === true) {
      const target = readlinkSync(here);
      if (++links > MAX_SYMLINKS)
        throw new DebianError(
          'BAD_PACKAGE',
          `member ${member} goes through a loop of symbolic links`,
        );
      if (target.startsWith('/')) done.length = 0;
      pending.unshift(
        ...target.split('/').filter((component) => component !== '' && component !== '.'),
      );
      continue;
    }
    if (stats !== null && !stats.isDirectory()) {
      throw new DebianError(
        'BAD_PACKAGE',
        `member ${member} needs a directory where ${[...done, next].join('/')} is a file`,
      );
    }
    done.push(next);
  }
  return done;
}
