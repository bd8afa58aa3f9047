/** `cowshed pull`: flags in, a root file system out. */

import { Command } from 'commander';
import { defaultCacheDir } from '../debian/cache.ts';
import type { PullResult } from '../debian/pull.ts';
import { DEFAULT_SUITE, pullPackages } from '../debian/pull.ts';
import { ProgressDisplay } from './progress.ts';
import { defaultRoot } from './rootfs_path.ts';
import { formatBytes } from './size.ts';

interface PullFlags {
  readonly root?: string;
  readonly suite?: string;
  readonly mirror?: string;
  readonly keyring?: string;
  readonly lock?: string;
  readonly frozen?: boolean;
  readonly update?: boolean;
  readonly allowUnsigned?: boolean;
  readonly allowExpired?: boolean;
  readonly quiet?: boolean;
  readonly json?: boolean;
}

function summary(result: PullResult): string {
  const unpacked = result.packages.filter(({ state }) => state === 'unpacked').length;
  const count = `${result.packages.length} package${result.packages.length === 1 ? '' : 's'}`;
  if (unpacked === 0) return `${result.root}: ${count} of ${result.release}, nothing to do`;
  const fetched =
    result.downloadedBytes === 0
      ? 'all from the cache'
      : `${formatBytes(result.downloadedBytes)} fetched`;
  return `${result.root}: ${count} of ${result.release}, ${unpacked} unpacked (${fetched}, ${formatBytes(result.unpackedBytes)} written)`;
}

async function pull(packages: readonly string[], flags: PullFlags): Promise<void> {
  const stop = new AbortController();
  const interrupt = (): void => stop.abort();
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  const report = new ProgressDisplay(process.stderr, flags.quiet === true);
  try {
    const { root, lock, quiet: _quiet, json: _json, ...rest } = flags;
    const result = await pullPackages({
      ...rest,
      packages,
      root: root ?? defaultRoot(process.env),
      ...(lock === undefined ? {} : { lockFile: lock }),
      cacheDir: defaultCacheDir(process.env),
      env: process.env,
      report,
      signal: stop.signal,
    });
    if (flags.json === true) process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
    else if (flags.quiet !== true) process.stdout.write(`${summary(result)}\n`);
  } finally {
    report.end();
    process.removeListener('SIGINT', interrupt);
    process.removeListener('SIGTERM', interrupt);
  }
}

export function pullCommand(): Command {
  return new Command('pull')
    .summary('fetch Debian packages for riscv64 into a root file system')
    .description(
      'Fetches Debian riscv64 packages and everything they depend on, checks signature and checksums, and unpacks them\n' +
        'into a root file system that "cowshed run" then uses. Without a PACKAGE it fetches what the lock file lists.',
    )
    .argument('[PACKAGE...]', 'names of Debian packages')
    .option('--root <dir>', 'root file system (default: $COWSHED_ROOTFS, else .cowshed/rootfs)')
    .option('--suite <name>', `Debian suite (default: the lock file's, else ${DEFAULT_SUITE})`)
    .option(
      '--mirror <url>',
      "Debian mirror (default: $COWSHED_DEBIAN_MIRROR, else this host's apt sources)",
    )
    .option(
      '--keyring <file>',
      "Debian's archive keys (default: this host's debian-archive-keyring)",
    )
    .option('--lock <file>', 'lock file (default: cowshed.lock.json beside the root file system)')
    .option('--frozen', 'take exactly what the lock file lists, or fail')
    .option('--update', 'take the newest versions instead of those in the lock file')
    .option('--allow-unsigned', 'do not check the signature of the release')
    .option('--allow-expired', 'accept a release that is past its Valid-Until date')
    .option('-q, --quiet', 'say only what went wrong')
    .option('--json', 'print the result as JSON')
    .action((packages: string[], flags: PullFlags) => pull(packages, flags));
}
