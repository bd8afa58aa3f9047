/** Debian packages that cannot be trusted. */

import type { TarEntry } from 'modern-tar';
import type { DebSpec } from '../unit/debian/fake_debian.ts';

interface BadPackage {
  readonly what: string;
  readonly spec: DebSpec;
  /** What the mirror does to the package after its checksum has been published. */
  readonly afterwards?: (deb: Buffer) => Buffer;
  /** What `cowshed pull` says. */
  readonly line: RegExp;
}

const MIB = 2 ** 20;

function file(name: string, body: string): TarEntry {
  return { header: { name, size: body.length, mode: 0o644, type: 'file' }, body };
}

function flipLastByte(deb: Buffer): Buffer {
  const changed = Buffer.from(deb);
  changed[changed.length - 1]! ^= 1;
  return changed;
}

export const BAD_PACKAGES: readonly BadPackage[] = [
  {
    what: 'a .deb that is truncated',
    spec: {
      name: 'cut',
      files: { './usr/bin/cut': 'x'.repeat(5000) },
      damage: (deb) => deb.subarray(0, deb.length - 40),
    },
    line: /^cowshed: Cannot unpack "cut_1\.0_riscv64\.deb": \S.*$/,
  },
  {
    what: 'a .deb of which only the head is there',
    spec: { name: 'head', damage: (deb) => deb.subarray(0, 100) },
    line: /^cowshed: Cannot unpack "head_1\.0_riscv64\.deb": \S.*$/,
  },
  {
    what: 'a .deb with a wrong checksum',
    spec: { name: 'flipped', files: { './usr/bin/flipped': 'x' } },
    afterwards: flipLastByte,
    line: /^cowshed: Cannot use flipped_1\.0_riscv64\.deb: its SHA256 is [0-9a-f]+/,
  },
  {
    what: 'a .deb with an absolute path',
    spec: { name: 'absolute', entries: [file('/etc/passwd', 'x')] },
    line: /member path \/etc\/passwd is absolute$/,
  },
  {
    what: 'a .deb with a ../ path',
    spec: { name: 'dotdot', entries: [file('../../outside', 'x')] },
    line: /member path \.\.\/\.\.\/outside leaves the root$/,
  },
  {
    what: 'a .deb with a link that leads out',
    spec: {
      name: 'link',
      entries: [
        { header: { name: './out', size: 0, type: 'symlink', linkname: '../../..' } },
        file('./out/outside', 'x'),
      ],
    },
    line: /member \.\/out\/outside goes through a symbolic link that leaves the root$/,
  },
  {
    what: 'a .deb that is a decompression bomb',
    spec: {
      name: 'bomb',
      control: 'Installed-Size: 1',
      entries: [file('./bomb', '\0'.repeat(64 * MIB))],
    },
    line: /data\.tar\.gz unpacks to more than 9 MiB, which it does not declare$/,
  },
];
