import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { TarEntry } from 'modern-tar';
import { packTar } from 'modern-tar';
import { unpackDeb } from '../../../src/debian/deb.ts';
import type { DebSpec } from './fake_debian.ts';
import { arArchive, gzippedTar, makeDeb, temporaryDir } from './fake_debian.ts';

const dir = temporaryDir();
const root = join(dir.path, 'root');
const file = join(dir.path, 'x.deb');

function fileEntry(name: string, body: string, mode = 0o644): TarEntry {
  return { header: { name, size: Buffer.byteLength(body), mode, type: 'file' }, body };
}

function linkEntry(type: 'symlink' | 'link', name: string, linkname: string): TarEntry {
  return { header: { name, size: 0, type, linkname } };
}

/** Unpacks bytes as x.deb into an empty root. */
async function unpack(bytes: Uint8Array): ReturnType<typeof unpackDeb> {
  writeFileSync(file, bytes);
  return unpackDeb(file, root);
}

async function unpackEntries(...entries: readonly TarEntry[]): ReturnType<typeof unpackDeb> {
  return unpack(await makeDeb({ name: 'x', entries }));
}

const spec: DebSpec = {
  name: 'x',
  control: 'Installed-Size: 1',
  files: { './usr/bin/x': 'program', './etc/x.conf': 'a=1\n' },
};
const control = await gzippedTar([fileEntry('./control', 'Package: x\nVersion: 1\n')]);
const emptyTar = await gzippedTar([]);
const binary = ['debian-binary', Buffer.from('2.0\n')] as const;

before(() => mkdirSync(root));
after(dir.remove);

/** Starts over with an empty root. */
function emptyRoot(): void {
  rmSync(root, { recursive: true });
  mkdirSync(root);
}

describe('unpackDeb()', () => {
  it('makes the files with their contents, modes and times', async () => {
    emptyRoot();
    const mtime = new Date('2026-01-02T03:04:05Z');
    const deb = await unpackEntries(
      { header: { name: './usr/', size: 0, type: 'directory', mode: 0o755 } },
      { header: { name: './usr/bin/tool', size: 2, type: 'file', mode: 0o755, mtime }, body: 'ab' },
      linkEntry('symlink', './usr/bin/alias', 'tool'),
      linkEntry('link', './usr/bin/same', './usr/bin/tool'),
    );
    const stats = statSync(join(root, 'usr/bin/tool'));
    assert.equal(stats.mode & 0o7777, 0o755);
    assert.equal(stats.mtimeMs, mtime.getTime());
    assert.equal(stats.nlink, 2);
    assert.equal(readlinkSync(join(root, 'usr/bin/alias')), 'tool');
    assert.equal(readFileSync(join(root, 'usr/bin/alias'), 'utf8'), 'ab');
    assert.deepEqual(deb.paths, ['/usr', '/usr/bin/tool', '/usr/bin/alias', '/usr/bin/same']);
    assert.equal(deb.bytes, 2);
    assert.equal(deb.fields.get('package'), 'x');
  });

  it('follows links to directories inside the root, as the merged /usr needs', async () => {
    emptyRoot();
    mkdirSync(join(root, 'usr/lib'), { recursive: true });
    symlinkSync('usr/lib', join(root, 'lib'));
    symlinkSync('/usr/lib', join(root, 'lib64'));
    await unpackEntries(
      { header: { name: './lib/', size: 0, type: 'directory' } },
      fileEntry('./lib/ld.so', 'ld'),
      fileEntry('./lib64/libc.so', 'c'),
    );
    assert.ok(lstatSync(join(root, 'lib')).isSymbolicLink());
    assert.equal(readFileSync(join(root, 'usr/lib/ld.so'), 'utf8'), 'ld');
    assert.equal(readFileSync(join(root, 'usr/lib/libc.so'), 'utf8'), 'c');
  });

  it('leaves setuid and setgid bits off', async () => {
    emptyRoot();
    await unpackEntries(fileEntry('./su', 'x', 0o6755));
    assert.equal(statSync(join(root, 'su')).mode & 0o7777, 0o755);
  });

  it('replaces an existing file or link, and never writes through it', async () => {
    emptyRoot();
    writeFileSync(join(dir.path, 'outside'), 'old');
    symlinkSync(join(dir.path, 'outside'), join(root, 'f'));
    await unpackEntries(fileEntry('./f', 'new'));
    assert.equal(readFileSync(join(dir.path, 'outside'), 'utf8'), 'old');
    assert.equal(readFileSync(join(root, 'f'), 'utf8'), 'new');
  });

  const xz = spawnSync('xz', ['--version']).status === 0;
  it('reads xz, and says when it is cut or damaged', {
    skip: xz ? false : 'this host has no xz',
  }, async () => {
    const tar = await packTar([fileEntry('./big', 'text\n'.repeat(50_000))]);
    const data = spawnSync('xz', ['-c'], { input: tar, maxBuffer: 1 << 24 }).stdout;
    const deb = (bytes: Uint8Array): Buffer =>
      arArchive([binary, ['control.tar.gz', control], ['data.tar.xz', bytes]]);
    emptyRoot();
    assert.equal((await unpack(deb(data))).bytes, 250_000);
    await assert.rejects(unpack(deb(data.subarray(0, data.length - 30))), {
      message: 'Cannot unpack "x.deb": its xz data end too early',
    });
    const damaged = Buffer.from(data);
    damaged[data.length >> 1]! ^= 0xff;
    await assert.rejects(unpack(deb(damaged)), {
      message: /^Cannot unpack "x.deb": its xz data (are damaged|end too early)$/,
    });
  });

  const escapes: readonly (readonly [string, readonly TarEntry[], RegExp])[] = [
    [
      'a path with ..',
      [fileEntry('../../etc/passwd', 'x')],
      /member path \.\.\/\.\.\/etc\/passwd leaves the root$/,
    ],
    [
      'a path with .. in the middle',
      [fileEntry('./a/../../b', 'x')],
      /member path \.\/a\/\.\.\/\.\.\/b leaves the root$/,
    ],
    ['an absolute path', [fileEntry('/etc/passwd', 'x')], /member path \/etc\/passwd is absolute$/],
    [
      'a link that leads out',
      [linkEntry('symlink', './out', '../../..'), fileEntry('./out/file', 'x')],
      /member \.\/out\/file goes through a symbolic link that leaves the root$/,
    ],
    [
      'a loop of links',
      [
        linkEntry('symlink', './a', 'b'),
        linkEntry('symlink', './b', 'a'),
        fileEntry('./a/file', 'x'),
      ],
      /goes through a loop of symbolic links$/,
    ],
    [
      'a hard link to a path with ..',
      [linkEntry('link', './passwd', '../../etc/passwd')],
      /leaves the root$/,
    ],
    [
      'a hard link to an absolute path',
      [linkEntry('link', './passwd', '/etc/passwd')],
      /is absolute$/,
    ],
    [
      'a hard link to nothing',
      [linkEntry('link', './a', './b')],
      /hard link to \.\/b, which is no file of the root$/,
    ],
    [
      'a hard link through a link that leads out',
      [linkEntry('symlink', './out', '../..'), linkEntry('link', './a', 'out/x')],
      /leaves the root$/,
    ],
    [
      'a device',
      [{ header: { name: './dev/sda', size: 0, type: 'block-device' } }],
      /member \.\/dev\/sda is a block-device$/,
    ],
    ['a fifo', [{ header: { name: './f', size: 0, type: 'fifo' } }], /member \.\/f is a fifo$/],
    [
      'a file in place of a directory',
      [fileEntry('./d/f', 'x'), fileEntry('./d', 'x')],
      /one is there already$/,
    ],
    [
      'a file under a file',
      [fileEntry('./d', 'x'), fileEntry('./d/f', 'x')],
      /needs a directory where d is a file$/,
    ],
  ];
  for (const [what, entries, message] of escapes) {
    it(`refuses ${what}`, async () => {
      emptyRoot();
      await assert.rejects(unpackEntries(...entries), { code: 'BAD_PACKAGE', message });
      assert.ok(!existsSync(join(dir.path, 'file')) && !existsSync(join(dir.path, 'passwd')));
    });
  }

  it('keeps an absolute link inside the root', async () => {
    emptyRoot();
    await unpackEntries(linkEntry('symlink', './out', dir.path), fileEntry('./out/evil', 'x'));
    assert.ok(!existsSync(join(dir.path, 'evil')));
    assert.ok(existsSync(join(root, dir.path, 'evil')));
  });

  it('refuses a package that is cut anywhere', async () => {
    const whole = await makeDeb(spec);
    for (const size of [
      0,
      4,
      8,
      40,
      69,
      80,
      whole.length >> 1,
      whole.length - 20,
      whole.length - 2,
    ]) {
      emptyRoot();
      await assert.rejects(
        unpack(whole.subarray(0, size)),
        { code: 'BAD_PACKAGE', message: /^Cannot unpack "x\.deb": / },
        `${size} bytes`,
      );
    }
  });

  it('refuses a tar archive that ends in the middle of a file', async () => {
    const tar = await packTar([fileEntry('./big', 'x'.repeat(5000))]);
    for (const size of [0, 512, 3000, 5632, tar.length - 512]) {
      emptyRoot();
      const data = gzipSync(tar.subarray(0, size));
      const deb = arArchive([binary, ['control.tar.gz', control], ['data.tar.gz', data]]);
      await assert.rejects(unpack(deb), { message: /^Cannot unpack "x\.deb": / }, `${size} bytes`);
    }
  });

  it('refuses a decompression bomb before it is written out', async () => {
    emptyRoot();
    const bomb = await makeDeb({
      ...spec,
      entries: [fileEntry('./bomb', '\0'.repeat(64 * 2 ** 20))],
    });
    assert.ok(bomb.length < 100_000);
    await assert.rejects(unpack(bomb), {
      message:
        'Cannot unpack "x.deb": data.tar.gz unpacks to more than 9 MiB, which it does not declare',
    });
    assert.ok((lstatSync(join(root, 'bomb'), { throwIfNoEntry: false })?.size ?? 0) <= 9 * 2 ** 20);
  });

  it('refuses a control archive that is a bomb', async () => {
    const bomb = await gzippedTar([fileEntry('./control', 'x'.repeat(40 * 2 ** 20))]);
    const deb = arArchive([binary, ['control.tar.gz', bomb], ['data.tar.gz', emptyTar]]);
    await assert.rejects(unpack(deb), { message: /control\.tar\.gz unpacks to more than 32 MiB/ });
  });

  const shapes: readonly (readonly [string, Buffer, RegExp])[] = [
    ['what is no archive', Buffer.from('PK\x03\x04 zip'), /it is not an ar archive$/],
    [
      'an archive without debian-binary',
      arArchive([['hello', Buffer.from('x')]]),
      /it is not a Debian package$/,
    ],
    ['a package without control.tar', arArchive([binary]), /it has no control\.tar$/],
    [
      'a package without data.tar',
      arArchive([binary, ['control.tar.gz', control]]),
      /it has no data\.tar$/,
    ],
    [
      'a package with an empty control',
      arArchive([binary, ['control.tar.gz', emptyTar]]),
      /it has no control file$/,
    ],
    [
      'a compression that is not known',
      arArchive([binary, ['control.tar.gz', control], ['data.tar.bz2', Buffer.from('BZh9')]]),
      /\.bz2 is not supported$/,
    ],
    [
      'data that are not compressed as they say',
      arArchive([
        binary,
        ['control.tar.gz', control],
        ['data.tar.gz', Buffer.from('not gzip at all')],
      ]),
      /incorrect header check$/,
    ],
  ];
  for (const [what, bytes, message] of shapes) {
    it(`refuses ${what}`, async () => {
      emptyRoot();
      await assert.rejects(unpack(bytes), { code: 'BAD_PACKAGE', message });
    });
  }
});
