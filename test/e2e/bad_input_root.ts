/** A root file system whose links try to leave it. */

import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Links one path may go through. @linux include/linux/namei.h:MAXSYMLINKS */
const MAX_SYMLINKS = 40;

/**
 * Makes the root and, beside it, what the guest must not see.
 *
 * @returns path of the root.
 */
export function makeHostileRoot(parent: string): string {
  const root = join(parent, 'hostile');
  const outside = join(parent, 'outside');
  for (const path of [root, outside]) {
    rmSync(path, { recursive: true, force: true });
    mkdirSync(path);
  }
  writeFileSync(join(outside, 'secret'), 'of the host');
  writeFileSync(join(root, 'inside'), 'of the guest');
  const links: readonly (readonly [string, string])[] = [
    ['loop', 'pool'],
    ['pool', 'loop'],
    ['self', 'self'],
    ['up', '../../../../../../../../../..'],
    ['out', '../outside/secret'],
    ['absolute', outside],
    ['root', '/'],
    ['long0', 'inside'],
  ];
  for (const [name, target] of links) symlinkSync(target, join(root, name));
  for (let i = 1; i <= MAX_SYMLINKS; i++) symlinkSync(`long${i - 1}`, join(root, `long${i}`));
  return root;
}

/** What `cat` gets for each path: the file, or the error of open(). */
export const BAD_PATHS: Readonly<Record<string, readonly [what: string, said: string]>> = {
  '/loop': ['two links that name each other', 'ELOOP'],
  '/self/x': ['a path through a link to itself', 'ELOOP'],
  '/long40': ['41 links in a row', 'ELOOP'],
  '/long39': ['40 links in a row', 'of the guest'],
  '/out': ['a link to ../outside', 'ENOENT'],
  '/absolute/secret': ['a link to an absolute path of the host', 'ENOENT'],
  '/up/outside/secret': ['a link with more .. than there are directories', 'ENOENT'],
  '/../../../outside/secret': ['.. above the root', 'ENOENT'],
  '/../../inside': ['.. above the root stays in it', 'of the guest'],
  '/root/root/../up/inside': ['links to / and above it', 'of the guest'],
  '/proc/self/root/../outside/secret': ['.. above /proc/self/root', 'ENOENT'],
  '/proc/self/cwd/../../outside/secret': ['.. above /proc/self/cwd', 'ENOENT'],
  '/proc/1/root/../../outside/secret': ['the root of another process', 'ENOENT'],
  '/inside/../out': ['.. below a file', 'ENOTDIR'],
};
