import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import {
  cachePath,
  defaultCacheDir,
  download,
  readDerived,
  writeDerived,
} from '../../../src/debian/cache.ts';
import { closeHttpClient, createHttpClient, proxyFor } from '../../../src/debian/http.ts';
import type { HttpClient } from '../../../src/debian/http.ts';
import {
  findKeyrings,
  readKeyrings,
  textWithoutCheck,
  verifyClearSigned,
} from '../../../src/debian/signature.ts';
import type { FakeMirror } from './fake_debian.ts';
import { clearSign, makeSigningKey, sha256, startMirror, temporaryDir } from './fake_debian.ts';

const dir = temporaryDir();
let mirror: FakeMirror;
let client: HttpClient;
let serial = 0;

before(async () => {
  mirror = await startMirror();
  client = createHttpClient({});
});
afterEach(() => {
  mirror.intercept = () => false;
  mirror.log.length = 0;
});
after(async () => {
  closeHttpClient(client);
  await mirror.close();
  dir.remove();
});

interface Served {
  readonly address: string;
  readonly cache: string;
  readonly data: Buffer;
  readonly file: { readonly size: number; readonly sha256: string };
}

/** A new file on the mirror and a new cache directory. */
function serve(size: number): Served {
  const name = `file-${++serial}`;
  const data = Buffer.alloc(size, `${name}\n`);
  mirror.files.set(name, data);
  const file = { size, sha256: sha256(data) };
  return { address: `${mirror.url}/${name}`, cache: join(dir.path, name), data, file };
}

async function fetchServed({
  address,
  cache,
  file,
}: Served): Promise<{ path: string | null; advanced: number }> {
  let advanced = 0;
  const path = await download(client, cache, address, file, (bytes) => {
    advanced += bytes;
  });
  return { path, advanced };
}

function leavePart(served: Served, bytes: Uint8Array, owner = ''): string {
  const part = `${cachePath(served.cache, served.file.sha256)}${owner}.part`;
  mkdirSync(dirname(part), { recursive: true });
  writeFileSync(part, bytes);
  return part;
}

describe('readDerived()', () => {
  it('gives back what was written, and nothing that is cut or damaged', async () => {
    const cache = join(dir.path, 'derived');
    await writeDerived(cache, 'index', 'one\ntwo\n');
    assert.equal(readDerived(cache, 'index'), 'one\ntwo\n');
    assert.equal(readDerived(cache, 'none'), null);
    const file = join(cache, 'derived', 'index');
    const stored = readFileSync(file, 'utf8');
    for (const damaged of ['', 'garbage\n', stored.slice(0, -1), stored.replace('two', 'six')]) {
      writeFileSync(file, damaged);
      assert.equal(readDerived(cache, 'index'), null);
    }
  });
});

describe('download()', () => {
  it('puts the file into the cache and does not ask again', async () => {
    const served = serve(300_000);
    const { path, advanced } = await fetchServed(served);
    assert.deepEqual(readFileSync(path!), served.data);
    assert.equal(advanced, 300_000);
    await fetchServed(served);
    assert.equal(mirror.log.length, 1);
  });

  it('fetches again what the cache has cut or damaged', async () => {
    const served = serve(1000);
    const { path } = await fetchServed(served);
    for (const damaged of [served.data.subarray(0, 10), Buffer.alloc(1000, 'x')]) {
      writeFileSync(path!, damaged);
      await fetchServed(served);
      assert.deepEqual(readFileSync(path!), served.data);
    }
  });

  it('says null for a file the server does not have, and leaves nothing', async () => {
    const served = serve(10);
    mirror.files.clear();
    assert.equal((await fetchServed(served)).path, null);
    assert.ok(!existsSync(`${cachePath(served.cache, served.file.sha256)}.part`));
  });

  it('continues what an interrupted pull left', async () => {
    const served = serve(100_000);
    leavePart(served, served.data.subarray(0, 60_000));
    const { path, advanced } = await fetchServed(served);
    assert.deepEqual(readFileSync(path!), served.data);
    assert.equal(advanced, 100_000);
    assert.match(mirror.log[0]!, / bytes=60000-$/);
  });

  it('continues what a dead process left, and lets a living one alone', async () => {
    const served = serve(1000);
    const alive = leavePart(served, served.data.subarray(0, 5), `.${process.ppid}`);
    leavePart(served, served.data.subarray(0, 600), '.999999999');
    await fetchServed(served);
    assert.match(mirror.log[0]!, / bytes=600-$/);
    assert.ok(existsSync(alive));
  });

  it('starts over when what was left belongs to another file', async () => {
    const served = serve(1000);
    leavePart(served, Buffer.alloc(500, 'wrong'));
    const { path, advanced } = await fetchServed(served);
    assert.deepEqual(readFileSync(path!), served.data);
    assert.equal(advanced, 1000);
  });

  it('starts over when the server knows no ranges', async () => {
    const served = serve(1000);
    leavePart(served, served.data.subarray(0, 500));
    mirror.intercept = (_request, response) => {
      response.writeHead(200, { 'Content-Length': 1000 }).end(served.data);
      return true;
    };
    const { path, advanced } = await fetchServed(served);
    assert.deepEqual(readFileSync(path!), served.data);
    assert.equal(advanced, 1000);
  });

  it('goes on after a broken connection and after a 503', async () => {
    const served = serve(200_000);
    let requests = 0;
    mirror.intercept = (_request, response) => {
      requests++;
      if (requests === 1) response.writeHead(503).end();
      if (requests === 2) {
        response.writeHead(200, { 'Content-Length': 200_000 });
        response.write(served.data.subarray(0, 90_000), () => response.destroy());
      }
      return requests <= 2;
    };
    const { path } = await fetchServed(served);
    assert.deepEqual(readFileSync(path!), served.data);
    assert.match(mirror.log[2]!, / bytes=[1-9]\d*-$/);
  });

  it('refuses wrong content and does not keep it', async () => {
    const served = serve(1000);
    const wrong = { ...served, file: { size: 1000, sha256: sha256('other') } };
    await assert.rejects(fetchServed(wrong), {
      code: 'BAD_CHECKSUM',
      message: /^Cannot use file-\d+: its SHA256 is \w{16}\.\.\., want \w{16}\.\.\.$/,
    });
    assert.ok(!existsSync(`${cachePath(served.cache, wrong.file.sha256)}.part`));
  });

  it('refuses a file of another size before it is fetched', async () => {
    const served = serve(1000);
    await assert.rejects(fetchServed({ ...served, file: { ...served.file, size: 999 } }), {
      code: 'BAD_CHECKSUM',
      message: /it has 1000 bytes, want 999$/,
    });
  });

  it('stops reading a file without a length when it grows too long', async () => {
    const served = serve(1000);
    mirror.intercept = (_request, response) => {
      response.writeHead(200);
      response.end(Buffer.alloc(5000));
      return true;
    };
    await assert.rejects(fetchServed(served), {
      code: 'BAD_CHECKSUM',
      message: /more than the 1000 bytes it should$/,
    });
  });

  it('says what the server answers when it refuses', async () => {
    const served = serve(10);
    mirror.intercept = (_request, response) => {
      response.writeHead(403).end();
      return true;
    };
    await assert.rejects(fetchServed(served), {
      code: 'NETWORK',
      message: /the server answers 403$/,
    });
  });

  it('keeps what has arrived when it is stopped', async () => {
    const served = serve(1000);
    const stop = new AbortController();
    const stoppable = createHttpClient({}, stop.signal);
    mirror.intercept = (_request, response) => {
      response.writeHead(200, { 'Content-Length': 1000 });
      response.write(served.data.subarray(0, 400));
      return true;
    };
    const running = download(stoppable, served.cache, served.address, served.file, (bytes) => {
      if (bytes > 0) stop.abort();
    });
    await assert.rejects(running, { code: 'ABORTED' });
    closeHttpClient(stoppable);
    assert.equal(readFileSync(`${cachePath(served.cache, served.file.sha256)}.part`).length, 400);
  });

  it('follows redirects, but not out of http', async () => {
    const served = serve(10);
    const target = served.address;
    mirror.intercept = (request, response) => {
      if (request.url === '/moved') response.writeHead(302, { Location: target }).end();
      else if (request.url === '/bad')
        response.writeHead(302, { Location: 'file:///etc/passwd' }).end();
      return request.url === '/moved' || request.url === '/bad';
    };
    assert.notEqual((await fetchServed({ ...served, address: `${mirror.url}/moved` })).path, null);
    const other = serve(11);
    await assert.rejects(fetchServed({ ...other, address: `${mirror.url}/bad` }), {
      message: /redirected to file:$/,
    });
  });

  it('goes through the proxy that the environment names', async () => {
    const served = serve(10);
    const seen: string[] = [];
    const proxy = createServer((request, response) => {
      seen.push(`${request.url ?? ''} ${request.headers['proxy-authorization'] ?? ''}`);
      response.end(served.data);
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const { port } = proxy.address() as AddressInfo;
    const proxied = createHttpClient({ http_proxy: `http://user:pass@127.0.0.1:${port}` });
    await download(proxied, served.cache, 'http://mirror.invalid/x', served.file, () => undefined);
    closeHttpClient(proxied);
    proxy.close();
    assert.deepEqual(seen, [
      `http://mirror.invalid/x Basic ${Buffer.from('user:pass').toString('base64')}`,
    ]);
  });
});

describe('proxyFor()', () => {
  it('respects the scheme and no_proxy', () => {
    const env = {
      http_proxy: 'p:3128',
      HTTPS_PROXY: 'http://s:8080',
      no_proxy: 'localhost, .inside.example',
    };
    assert.equal(proxyFor(env, new URL('http://a.example/'))?.host, 'p:3128');
    assert.equal(proxyFor(env, new URL('https://a.example/'))?.host, 's:8080');
    assert.equal(proxyFor(env, new URL('http://x.inside.example/')), null);
    assert.equal(proxyFor({ ...env, no_proxy: '*' }, new URL('http://a.example/')), null);
    assert.equal(proxyFor({}, new URL('http://a.example/')), null);
  });
});

describe('defaultCacheDir()', () => {
  it('is where the platform keeps caches, unless COWSHED_CACHE names another', () => {
    assert.equal(defaultCacheDir({ COWSHED_CACHE: '/c' }), '/c');
    assert.equal(defaultCacheDir({ XDG_CACHE_HOME: '/x' }, 'linux'), join('/x', 'cowshed'));
    assert.match(defaultCacheDir({}, 'linux'), /\.cache.cowshed$/);
    assert.match(defaultCacheDir({}, 'darwin'), /Library.Caches.cowshed$/);
  });
});

describe('verifyClearSigned()', () => {
  const text = 'Origin: Debian\n- dash at the start\nSuite: stable';

  it('returns exactly the signed text', async () => {
    const key = await makeSigningKey(dir.path, 'good');
    const signed = await verifyClearSigned(
      await clearSign(text, key),
      await readKeyrings([key.keyring]),
      's',
    );
    assert.equal(signed.text, text);
    assert.deepEqual(signed.signers, ['good']);
  });

  it('does not see text before or behind the signed part', async () => {
    const key = await makeSigningKey(dir.path, 'around');
    const message = `Origin: Evil\n${await clearSign(text, key)}\nOrigin: Evil\n`;
    const signed = await verifyClearSigned(message, await readKeyrings([key.keyring]), 's').catch(
      (error: Error) => error,
    );
    if (signed instanceof Error) assert.match(signed.message, /^Cannot trust release "s"/);
    else assert.equal(signed.text, text);
  });

  it('refuses changed text, another key, no signature and no message', async () => {
    const key = await makeSigningKey(dir.path, 'one');
    const other = await makeSigningKey(dir.path, 'two');
    const message = await clearSign(text, key);
    const keys = await readKeyrings([key.keyring]);
    const cases: readonly (readonly [string, string, typeof keys])[] = [
      ['changed', message.replace('stable', 'evil'), keys],
      ['another key', message, await readKeyrings([other.keyring])],
      ['no keys', message, []],
      ['unsigned', text, keys],
      ['empty', '', keys],
      ['cut', message.slice(0, message.length - 60), keys],
    ];
    for (const [what, candidate, ring] of cases) {
      await assert.rejects(
        verifyClearSigned(candidate, ring, 's'),
        { code: 'BAD_SIGNATURE', message: /^Cannot trust release "s": [^\n]+$/ },
        what,
      );
    }
  });

  it('is satisfied by one good signature of several keys in the ring', async () => {
    const key = await makeSigningKey(dir.path, 'many');
    const other = await makeSigningKey(dir.path, 'more');
    const keys = await readKeyrings([other.keyring, key.keyring]);
    assert.deepEqual((await verifyClearSigned(await clearSign(text, key), keys, 's')).signers, [
      'many',
    ]);
  });

  it('takes the same text without the check when told to', async () => {
    const key = await makeSigningKey(dir.path, 'skip');
    assert.equal(textWithoutCheck(await clearSign(text, key)), text);
    assert.equal(textWithoutCheck('Origin: Debian\n'), 'Origin: Debian\n');
  });
});

describe('findKeyrings()', () => {
  it('takes the named file and says when it is missing or no keyring', async () => {
    const bad = join(dir.path, 'bad.gpg');
    writeFileSync(bad, 'no keys');
    assert.deepEqual(findKeyrings(bad, []), [bad]);
    assert.throws(() => findKeyrings(join(dir.path, 'gone.gpg'), []), {
      code: 'NO_KEYRING',
      message: /no such file$/,
    });
    await assert.rejects(readKeyrings([bad]), {
      code: 'NO_KEYRING',
      message: /^Cannot read keyring "[^"]+": [^\n]+$/,
    });
  });
});
