import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { PullOptions, PullResult } from '../../../src/debian/pull.ts';
import { pullPackages } from '../../../src/debian/pull.ts';
import type { PullReport } from '../../../src/debian/report.ts';
import { SILENT_REPORT } from '../../../src/debian/report.ts';
import type { DebSpec, FakeMirror, SigningKey, SuiteSpec } from './fake_debian.ts';
import { addToPool, makeSigningKey, publish, startMirror, temporaryDir } from './fake_debian.ts';

const dir = temporaryDir();
let mirror: FakeMirror;
let key: SigningKey;
let serial = 0;

before(async () => {
  mirror = await startMirror();
  key = await makeSigningKey(dir.path, 'archive');
});
after(async () => {
  await mirror.close();
  dir.remove();
});

const LIBC: DebSpec = {
  name: 'libc6',
  files: { './lib/libc.so': 'libc 1', './usr/share/doc/libc6/copyright': 'free' },
};
const SHELL: DebSpec = {
  name: 'shell',
  control: 'Pre-Depends: libc6',
  files: { './bin/shell': 'shell' },
};
const TOOL: DebSpec = {
  name: 'tool',
  control: 'Depends: libc6 (>= 1.0)',
  files: { './usr/bin/tool': 'tool' },
};

function suite(...packages: readonly DebSpec[]): SuiteSpec {
  return { codename: 'trixie', suite: 'stable', packages, key };
}

/** A place for one root file system, its lock and its cache. */
interface Place {
  readonly home: string;
  readonly root: string;
  readonly said: string[];
  pull(packages: readonly string[], options?: Partial<PullOptions>): Promise<PullResult>;
  /** Text of a file in the root. */
  read(path: string): string;
}

function place(): Place {
  const home = join(dir.path, `place-${++serial}`);
  const root = join(home, 'rootfs');
  const said: string[] = [];
  const report: PullReport = { ...SILENT_REPORT, say: (line) => said.push(line) };
  return {
    home,
    root,
    said,
    pull: (packages, options = {}) =>
      pullPackages({
        packages,
        root,
        cacheDir: join(home, 'cache'),
        mirror: mirror.url,
        keyring: key.keyring,
        env: {},
        skewPauseMs: 600,
        report,
        ...options,
      }),
    read: (path) => readFileSync(join(root, path), 'utf8'),
  };
}

/** A mirror with these packages in trixie and nothing else. */
async function freshMirror(...packages: readonly DebSpec[]): Promise<void> {
  mirror.files.clear();
  mirror.log.length = 0;
  mirror.intercept = () => false;
  await publish(mirror, 'trixie', suite(...packages));
}

describe('pullPackages()', () => {
  it('makes a root file system of a package and what it needs', async () => {
    await freshMirror(LIBC, SHELL, TOOL);
    const at = place();
    const result = await at.pull(['shell']);
    assert.deepEqual(
      result.packages.map(({ name, state }) => `${name} ${state}`),
      ['libc6 unpacked', 'shell unpacked'],
    );
    assert.equal(readlinkSync(join(at.root, 'bin')), 'usr/bin');
    assert.equal(at.read('usr/bin/shell'), 'shell');
    assert.equal(at.read('lib/libc.so'), 'libc 1');
    assert.match(
      at.read('var/lib/dpkg/status'),
      /Package: shell\nStatus: install ok unpacked\nVersion: 1.0\n/,
    );
    assert.match(at.read('var/lib/dpkg/info/shell.list'), /^\/\.\n\/bin\n\/bin\/shell\n$/);
    assert.match(at.read('etc/passwd'), /^root:x:0:0:/);
    assert.deepEqual(readdirSync(at.home).sort(), ['cache', 'cowshed.lock.json', 'rootfs']);
  });

  it('writes a lock file that names no mirror, and pulls from it without an index', async () => {
    await freshMirror(LIBC, SHELL);
    const first = place();
    await first.pull(['shell']);
    const lock = readFileSync(join(first.home, 'cowshed.lock.json'), 'utf8');
    assert.ok(!lock.includes('127.0.0.1'));
    const second = place();
    mkdirSync(second.home);
    writeFileSync(join(second.home, 'cowshed.lock.json'), lock);
    mirror.log.length = 0;
    await second.pull([], { frozen: true });
    assert.equal(second.read('usr/bin/shell'), 'shell');
    assert.deepEqual(
      mirror.log.filter((line) => line.includes('/dists/')),
      [],
    );
  });

  it('needs no mirror at all when the cache has everything', async () => {
    await freshMirror(LIBC);
    const at = place();
    await at.pull(['libc6']);
    mirror.log.length = 0;
    await at.pull(['libc6'], { root: join(at.home, 'other') });
    assert.deepEqual(mirror.log, []);
    assert.ok(existsSync(join(at.home, 'other/usr/lib/libc.so')));
  });

  it('adds packages to a root and keeps what is there', async () => {
    await freshMirror(LIBC, SHELL, TOOL);
    const at = place();
    await at.pull(['shell']);
    writeFileSync(join(at.root, 'etc/mine'), 'mine');
    const result = await at.pull(['tool']);
    assert.deepEqual(
      result.packages.map(({ name, state }) => `${name} ${state}`),
      ['libc6 kept', 'shell kept', 'tool unpacked'],
    );
    assert.equal(at.read('etc/mine'), 'mine');
    assert.equal(at.read('usr/bin/tool'), 'tool');
    assert.equal(at.read('usr/bin/shell'), 'shell');
  });

  it('replaces an older version and removes the files it alone had', async () => {
    await freshMirror(LIBC, SHELL);
    const at = place();
    await at.pull(['shell']);
    await freshMirror(
      { name: 'libc6', version: '1.1', files: { './lib/libc.so': 'libc 1.1' } },
      SHELL,
    );
    await at.pull([], { update: true });
    assert.equal(at.read('lib/libc.so'), 'libc 1.1');
    assert.ok(!existsSync(join(at.root, 'usr/share/doc/libc6')));
    assert.deepEqual(at.said, ['Newer than the lock file: libc6 1.0 -> 1.1']);
  });

  it('keeps a file that moved from /lib to /usr/lib, which are the same directory', async () => {
    await freshMirror(LIBC);
    const at = place();
    await at.pull(['libc6']);
    await freshMirror({ name: 'libc6', version: '2', files: { './usr/lib/libc.so': 'libc 2' } });
    await at.pull([], { update: true });
    assert.equal(at.read('lib/libc.so'), 'libc 2');
    assert.equal(readlinkSync(join(at.root, 'lib')), 'usr/lib');
  });

  it('says that a locked package has vanished, and resolves anew', async () => {
    await freshMirror(LIBC);
    const at = place();
    await at.pull(['libc6']);
    await freshMirror({ ...LIBC, version: '1.2' });
    await at.pull(['libc6'], { cacheDir: join(at.home, 'empty') });
    assert.deepEqual(at.said, [
      'Locked packages have vanished from the mirror: libc6 1.0; resolving anew',
      'Newer than the lock file: libc6 1.0 -> 1.2',
    ]);
    assert.match(readFileSync(join(at.home, 'cowshed.lock.json'), 'utf8'), /"version": "1.2"/);
  });

  it('with --frozen, fails instead, and changes nothing', async () => {
    await freshMirror(LIBC);
    const at = place();
    await at.pull(['libc6']);
    const lock = readFileSync(join(at.home, 'cowshed.lock.json'), 'utf8');
    await freshMirror({ ...LIBC, version: '1.2' });
    await assert.rejects(at.pull(['libc6'], { frozen: true, cacheDir: join(at.home, 'empty') }), {
      code: 'LOCK',
      message: /libc6 1\.0 vanished/,
    });
    await assert.rejects(at.pull(['shell'], { frozen: true }), {
      code: 'LOCK',
      message: /--frozen forbids/,
    });
    assert.equal(readFileSync(join(at.home, 'cowshed.lock.json'), 'utf8'), lock);
    assert.equal(at.read('lib/libc.so'), 'libc 1');
  });
});

describe('pullPackages() from a mirror in the middle of an update', () => {
  /** Replaces the index by name, so that only the one by hash is that of the release. */
  async function skew(keepByHash: boolean): Promise<void> {
    await freshMirror(LIBC);
    const index = 'dists/trixie/main/binary-riscv64/Packages.gz';
    const byHash = [...mirror.files.keys()].filter((path) => path.includes('by-hash'));
    mirror.files.set(index, Buffer.from('another update'));
    if (!keepByHash) for (const path of byHash) mirror.files.delete(path);
  }

  it('takes the index by its checksum', async () => {
    await skew(true);
    const at = place();
    await at.pull(['libc6']);
    assert.deepEqual(at.said, []);
  });

  it('takes the same suite under its other name, and says so', async () => {
    await skew(false);
    await publish(mirror, 'stable', { ...suite({ ...LIBC, version: '0.9' }) });
    const at = place();
    const result = await at.pull(['libc6']);
    assert.equal(result.packages[0]?.version, '0.9');
    assert.match(
      at.said[0]!,
      /^The mirror is in the middle of an update: .* using trixie 13\.8 of 21 Nov 2026 \(dists\/stable\), which fits$/,
    );
  });

  it('does not take another suite for it', async () => {
    await skew(false);
    await publish(mirror, 'stable', { ...suite(LIBC), codename: 'bookworm' });
    await assert.rejects(place().pull(['libc6']), {
      code: 'SKEW',
      message:
        /^Cannot use suite "trixie": the mirror is in the middle of an update, .* try again later, or name another --mirror or --suite$/,
    });
  });

  it('waits for a mirror that is just being updated', async () => {
    await skew(false);
    const good = place();
    setTimeout(() => void publish(mirror, 'trixie', suite(LIBC)), 500);
    await good.pull(['libc6']);
    assert.equal(good.read('lib/libc.so'), 'libc 1');
  });

  it('says that the pool does not have what the index names', async () => {
    await freshMirror(LIBC);
    for (const path of [...mirror.files.keys()])
      if (path.startsWith('pool/')) mirror.files.delete(path);
    await assert.rejects(place().pull(['libc6']), {
      code: 'SKEW',
      message: /^Cannot fetch libc6 1\.0: the index names it/,
    });
  });
});

describe('pullPackages() refuses', () => {
  /** Checks that nothing was left but perhaps the cache. */
  async function refused(
    at: Place,
    packages: readonly string[],
    options: Partial<PullOptions>,
    expected: object,
  ): Promise<void> {
    await assert.rejects(at.pull(packages, options), expected);
    const left = existsSync(at.home) ? readdirSync(at.home).filter((name) => name !== 'cache') : [];
    assert.deepEqual(left, []);
  }

  it('a release signed by nobody known, unless told to', async () => {
    await freshMirror(LIBC);
    const other = await makeSigningKey(dir.path, 'stranger');
    const at = place();
    await refused(
      at,
      ['libc6'],
      { keyring: other.keyring },
      { code: 'BAD_SIGNATURE', message: /^Cannot trust release "trixie": / },
    );
    await at.pull(['libc6'], { keyring: other.keyring, allowUnsigned: true });
    assert.match(at.said[0]!, /not checked \(--allow-unsigned\)$/);
  });

  it('a release past its date, unless told to', async () => {
    await freshMirror();
    await publish(mirror, 'trixie', {
      ...suite(LIBC),
      fields: 'Valid-Until: Fri, 06 Nov 2020 08:08:01 UTC',
    });
    const at = place();
    await refused(at, ['libc6'], {}, { code: 'EXPIRED', message: /valid until 2020-11-06/ });
    await at.pull(['libc6'], { allowExpired: true });
  });

  it('a package whose bytes are not those of the index', async () => {
    await freshMirror(LIBC);
    const pool = [...mirror.files.keys()].find((path) => path.startsWith('pool/'))!;
    const bytes = Buffer.from(mirror.files.get(pool)!);
    bytes[bytes.length - 1]! ^= 1;
    mirror.files.set(pool, bytes);
    await refused(
      place(),
      ['libc6'],
      {},
      { code: 'BAD_CHECKSUM', message: /^Cannot use libc6_1\.0_riscv64\.deb: its SHA256 is / },
    );
  });

  it('a package that would leave the root, leaving the old root as it was', async () => {
    const evil: DebSpec = { name: 'evil', files: { './ok': 'ok', '../../outside': 'x' } };
    await freshMirror(LIBC, evil);
    await refused(
      place(),
      ['evil'],
      {},
      {
        code: 'BAD_PACKAGE',
        message: 'Cannot unpack "evil_1.0_riscv64.deb": member path ../../outside leaves the root',
      },
    );
    const at = place();
    await at.pull(['libc6']);
    await assert.rejects(at.pull(['evil']), { code: 'BAD_PACKAGE' });
    assert.ok(!existsSync(join(at.root, 'ok')));
    assert.equal(at.read('lib/libc.so'), 'libc 1');
    assert.ok(!readFileSync(join(at.home, 'cowshed.lock.json'), 'utf8').includes('evil'));
  });

  it('a suite or package that is not there, or no name at all', async () => {
    await freshMirror(LIBC);
    await refused(
      place(),
      ['libc6'],
      { suite: 'forky' },
      { code: 'NOT_FOUND', message: /^Cannot find suite "forky"/ },
    );
    await refused(
      place(),
      ['libc6'],
      { suite: '../x' },
      { code: 'NOT_FOUND', message: /no name of a suite$/ },
    );
    await refused(place(), ['nothing'], {}, { code: 'NOT_FOUND' });
    await refused(
      place(),
      ['../x'],
      {},
      { code: 'NOT_FOUND', message: /no name of a Debian package$/ },
    );
    await refused(place(), [], {}, { code: 'LOCK', message: /^Cannot pull: name a package/ });
  });

  it('a directory that is no root file system', async () => {
    const at = place();
    mkdirSync(at.root, { recursive: true });
    writeFileSync(join(at.root, 'thesis.txt'), 'years of work');
    await assert.rejects(at.pull(['libc6']), {
      code: 'ROOT',
      message: /not empty and no root file system of Debian$/,
    });
    await assert.rejects(at.pull(['libc6'], { root: '/' }), {
      code: 'ROOT',
      message: 'Cannot pull into "/": it is the root of the host',
    });
    mkdirSync(join(at.root, 'var/lib/dpkg'), { recursive: true });
    writeFileSync(
      join(at.root, 'var/lib/dpkg/status'),
      'Package: bash\nVersion: 1\nArchitecture: amd64\n',
    );
    await assert.rejects(at.pull(['libc6']), {
      code: 'ROOT',
      message: /holds bash for amd64, not riscv64$/,
    });
    assert.equal(at.read('thesis.txt'), 'years of work');
  });

  it('a damaged lock file', async () => {
    await freshMirror(LIBC);
    const entry = {
      name: 'libc6',
      version: '1',
      filename: 'pool/x.deb',
      size: 1,
      sha256: '0'.repeat(64),
    };
    const lock = { lockVersion: 1, suite: 'trixie', requested: ['libc6'], packages: [entry] };
    const damaged: readonly (readonly [string, RegExp])[] = [
      ['{', /^Cannot read lock file "[^"]+": [^\n]+$/],
      ['[]', /it is no JSON object$/],
      [JSON.stringify({ ...lock, lockVersion: 9 }), /lockVersion is 9, want 1$/],
      [
        JSON.stringify({ ...lock, packages: [{ ...entry, filename: '../../etc/passwd' }] }),
        /no proper filename$/,
      ],
      [
        JSON.stringify({ ...lock, packages: [{ ...entry, filename: 'http://evil.example/x' }] }),
        /no proper filename$/,
      ],
      [JSON.stringify({ ...lock, packages: [{ ...entry, sha256: 'x' }] }), /no proper sha256$/],
      [JSON.stringify({ ...lock, packages: [{ ...entry, name: '/x' }] }), /no proper name$/],
    ];
    for (const [text, message] of damaged) {
      const at = place();
      mkdirSync(at.home);
      writeFileSync(join(at.home, 'cowshed.lock.json'), text);
      await assert.rejects(at.pull(['libc6']), { message });
    }
  });

  it('to go on when it is stopped, and cleans up', async () => {
    await freshMirror(LIBC, SHELL);
    const stop = new AbortController();
    const report: PullReport = {
      ...SILENT_REPORT,
      begin: (label) => {
        if (label.startsWith('Unpacking')) stop.abort();
      },
    };
    await refused(place(), ['shell'], { signal: stop.signal, report }, { code: 'ABORTED' });
  });

  it('nothing of a pull that was killed: the next one puts the root back', async () => {
    await freshMirror(LIBC, SHELL);
    const at = place();
    await at.pull(['libc6']);
    mkdirSync(join(at.home, '.rootfs.staging-999999999'));
    await at.pull(['shell']);
    assert.deepEqual(readdirSync(at.home).sort(), ['cache', 'cowshed.lock.json', 'rootfs']);
    await addToPool(mirror, [TOOL]);
  });
});
