import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { AptSource } from '../../../src/debian/apt_sources.ts';
import {
  chooseMirrors,
  parseAptProxies,
  parseDeb822Sources,
  parseListSources,
} from '../../../src/debian/apt_sources.ts';

describe('parseDeb822Sources()', () => {
  it('reads stanzas with comments, several URIs and a keyring', () => {
    const text = `# my sources
Types: deb deb-src
URIs: http://one.example/debian http://two.example/debian/
Suites: trixie trixie-updates
# a comment inside
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://off.example/debian
Suites: trixie
Components: main
Enabled: no

Types: deb-src
URIs: http://source.example/debian
Suites: trixie
Components: main
`;
    const found = parseDeb822Sources(text);
    assert.deepEqual(
      found.map(({ uri }) => uri),
      ['http://one.example/debian', 'http://two.example/debian/'],
    );
    assert.deepEqual(found[0]?.keyrings, ['/usr/share/keyrings/debian-archive-keyring.gpg']);
    assert.deepEqual(found[0]?.suites, ['trixie', 'trixie-updates']);
  });
});

describe('parseListSources()', () => {
  it('reads one-line sources with and without options', () => {
    const text = `deb http://one.example/debian trixie main contrib # comment
#deb http://off.example/debian trixie main
deb [arch=amd64 signed-by=/k.gpg] https://two.example/debian trixie main
deb-src http://source.example/debian trixie main
`;
    assert.deepEqual(parseListSources(text), [
      {
        uri: 'http://one.example/debian',
        suites: ['trixie'],
        components: ['main', 'contrib'],
        keyrings: [],
      },
      {
        uri: 'https://two.example/debian',
        suites: ['trixie'],
        components: ['main'],
        keyrings: ['/k.gpg'],
      },
    ]);
  });
});

describe('parseAptProxies()', () => {
  it('reads what apt-config prints, and takes DIRECT for none', () => {
    assert.deepEqual(parseAptProxies("http_proxy='http://p:3128'\nhttps_proxy='DIRECT'\n"), {
      http_proxy: 'http://p:3128',
    });
    assert.deepEqual(parseAptProxies(''), {});
  });
});

describe('chooseMirrors()', () => {
  const source = (uri: string, suites = ['trixie'], components = ['main']): AptSource => ({
    uri,
    suites,
    components,
    keyrings: ['/k'],
  });

  it('prefers the flag, then the environment, then the sources of apt', () => {
    const sources = (): AptSource[] => [source('http://apt.example/debian/')];
    const env = { COWSHED_DEBIAN_MIRROR: 'http://env.example/debian' };
    assert.deepEqual(chooseMirrors('http://flag.example/debian/', env, sources).mirrors, [
      'http://flag.example/debian',
    ]);
    assert.deepEqual(chooseMirrors(undefined, env, sources).mirrors, ['http://env.example/debian']);
    assert.deepEqual(chooseMirrors(undefined, {}, sources), {
      mirrors: ['http://apt.example/debian'],
      keyrings: ['/k'],
      fromApt: true,
    });
  });

  it('leaves out security archives, other distributions, other components and local files', () => {
    const sources = (): AptSource[] => [
      source('http://a.example/debian-security', ['trixie-security']),
      source('http://b.example/ubuntu'),
      source('http://c.example/chrome', ['stable'], ['non-free']),
      source('file:/srv/debian'),
      source('http://other.example/repo'),
      source('http://good.example/debian'),
    ];
    assert.deepEqual(chooseMirrors(undefined, {}, sources).mirrors, [
      'http://good.example/debian',
      'http://other.example/repo',
    ]);
  });

  it('says how to name a mirror when there is none', () => {
    assert.throws(() => chooseMirrors(undefined, {}, () => []), {
      code: 'NO_MIRROR',
      message: /--mirror URL or COWSHED_DEBIAN_MIRROR$/,
    });
  });

  it('refuses what is no http address', () => {
    for (const bad of ['ftp://x.example/debian', 'mirror', 'http://', 'http:// x']) {
      assert.throws(() => chooseMirrors(bad, {}, () => []), { code: 'NO_MIRROR' }, bad);
    }
  });
});
