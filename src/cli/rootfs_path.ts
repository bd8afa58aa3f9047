/** Where the root file system is when no flag says so. */

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** COWSHED_ROOTFS, else `.cowshed/rootfs` in the working directory. */
export function defaultRoot(env: NodeJS.ProcessEnv): string {
  const named = env['COWSHED_ROOTFS'];
  return named !== undefined && named !== '' ? resolve(named) : resolve(join('.cowshed', 'rootfs'));
}

/** The default root if it is there. One that COWSHED_ROOTFS names must be. */
export function existingDefaultRoot(env: NodeJS.ProcessEnv): string | null {
  const root = defaultRoot(env);
  const named = env['COWSHED_ROOTFS'];
  return existsSync(root) || (named !== undefined && named !== '') ? root : null;
}
