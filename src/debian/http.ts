/**
 * HTTP for mirrors: GET with ranges, redirects, proxies from the environment, and time limits.
 * Node's fetch() knows no proxy in the oldest Node that is supported, hence node:http.
 */

import type { IncomingMessage, RequestOptions } from 'node:http';
import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { Socket } from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import { DebianError, errorText } from './error.ts';

/** Milliseconds without a byte before a connection counts as dead. */
const IDLE_TIMEOUT_MS = 30_000;
const MAX_REDIRECTS = 5;
/** Tries of one request, and the pause before the second; it doubles every time. */
const MAX_TRIES = 4;
const FIRST_PAUSE_MS = 400;

/** Connections and settings of one pull; closed by closeHttpClient(). */
export interface HttpClient {
  /** Where proxies are named. */
  env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal | undefined;
  readonly httpAgent: HttpAgent;
  readonly httpsAgent: HttpsAgent;
}

interface GetOptions {
  /** Ask for the bytes from this offset on; the answer is 206 when the server can. */
  readonly from?: number;
  /** Ask caches on the way for a fresh copy. */
  readonly fresh?: boolean;
}

export function createHttpClient(env: NodeJS.ProcessEnv, signal?: AbortSignal): HttpClient {
  const agent = { keepAlive: true, maxSockets: 8 };
  return { env, signal, httpAgent: new HttpAgent(agent), httpsAgent: new HttpsAgent(agent) };
}

export function closeHttpClient(client: HttpClient): void {
  client.httpAgent.destroy();
  client.httpsAgent.destroy();
}

/** Whether `NO_PROXY` (a list of host suffixes, or `*`) covers the host. */
function bypassesProxy(env: NodeJS.ProcessEnv, host: string): boolean {
  const list = (env['no_proxy'] ?? env['NO_PROXY'] ?? '')
    .split(',')
    .map((item) => item.trim().replace(/^\*?\./, ''));
  return list.some(
    (item) => item === '*' || (item !== '' && (host === item || host.endsWith(`.${item}`))),
  );
}

/** The proxy for a URL, as http_proxy and https_proxy name it; null for a direct connection. */
export function proxyFor(env: NodeJS.ProcessEnv, url: URL): URL | null {
  const value =
    url.protocol === 'https:'
      ? (env['https_proxy'] ?? env['HTTPS_PROXY'])
      : (env['http_proxy'] ?? env['HTTP_PROXY'] ?? undefined);
  if (value === undefined || value === '' || bypassesProxy(env, url.hostname)) return null;
  return new URL(value.includes('://') ? value : `http://${value}`);
}

function proxyHeaders(proxy: URL): Record<string, string> {
  if (proxy.username === '') return {};
  const login = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
  return { 'Proxy-Authorization': `Basic ${Buffer.from(login).toString('base64')}` };
}

/** Opens a tunnel to an https server through a proxy (RFC 9110 section 9.3.6). */
function openTunnel(url: URL, proxy: URL, signal: AbortSignal | undefined): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const target = `${url.hostname}:${url.port === '' ? '443' : url.port}`;
    const connect = httpRequest({
      host: proxy.hostname,
      port: proxy.port === '' ? 80 : Number(proxy.port),
      method: 'CONNECT',
      path: target,
      headers: { Host: target, ...proxyHeaders(proxy) },
      timeout: IDLE_TIMEOUT_MS,
      ...(signal === undefined ? {} : { signal }),
    });
    connect.once('connect', (response, socket) => {
      if (response.statusCode === 200)
        return resolve(tlsConnect({ socket, servername: url.hostname }));
      socket.destroy();
      reject(new Error(`the proxy answers ${response.statusCode ?? 0} to CONNECT`));
    });
    connect.once('timeout', () => connect.destroy(new Error('the proxy does not answer')));
    connect.once('error', reject);
    connect.end();
  });
}

async function requestOptions(
  client: HttpClient,
  url: URL,
  options: GetOptions,
): Promise<RequestOptions> {
  const headers: Record<string, string> = { 'User-Agent': 'cowshed', Host: url.host };
  if (options.from !== undefined && options.from > 0) headers['Range'] = `bytes=${options.from}-`;
  if (options.fresh === true) headers['Cache-Control'] = 'no-cache';
  const base: RequestOptions = {
    method: 'GET',
    headers,
    timeout: IDLE_TIMEOUT_MS,
    ...(client.signal === undefined ? {} : { signal: client.signal }),
  };
  const secure = url.protocol === 'https:';
  const target = {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? (secure ? 443 : 80) : Number(url.port),
  };
  const proxy = proxyFor(client.env, url);
  if (proxy === null) {
    return {
      ...base,
      ...target,
      path: url.pathname + url.search,
      agent: secure ? client.httpsAgent : client.httpAgent,
    };
  }
  if (secure) {
    const socket = await openTunnel(url, proxy, client.signal);
    return {
      ...base,
      ...target,
      path: url.pathname + url.search,
      createConnection: () => socket,
      agent: false,
    };
  }
  return {
    ...base,
    headers: { ...headers, ...proxyHeaders(proxy) },
    host: proxy.hostname,
    port: proxy.port === '' ? 80 : Number(proxy.port),
    path: url.href,
    agent: client.httpAgent,
  };
}

async function requestOnce(
  client: HttpClient,
  url: URL,
  options: GetOptions,
): Promise<IncomingMessage> {
  const prepared = await requestOptions(client, url, options);
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const request = send(prepared, resolve);
    request.once('timeout', () =>
      request.destroy(new Error(`no data for ${IDLE_TIMEOUT_MS / 1000} s`)),
    );
    request.once('error', reject);
    request.end();
  });
}

/** One GET with redirects followed. @throws Error when the connection fails. */
async function get(
  client: HttpClient,
  address: string,
  options: GetOptions,
): Promise<IncomingMessage> {
  let url = new URL(address);
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const response = await requestOnce(client, url, options);
    const location = response.headers.location;
    const status = response.statusCode ?? 0;
    if (status < 300 || status > 399 || location === undefined) return response;
    response.resume();
    url = new URL(location, url);
    if (url.protocol !== 'http:' && url.protocol !== 'https:') {
      throw new DebianError('NETWORK', `Cannot fetch ${address}: redirected to ${url.protocol}`);
    }
  }
  throw new Error(`more than ${MAX_REDIRECTS} redirects`);
}

/** Waits; ends early when the user stops the pull. */
export function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    function done(): void {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    }
    signal?.addEventListener('abort', done);
  });
}

/**
 * Runs one transfer, again after a pause when it fails in a way that may pass: a broken connection,
 * a time-out, a 5xx or 429 answer. `transfer` gets the open response and must consume it.
 *
 * @throws DebianError NETWORK when every try failed, ABORTED when stopped.
 */
export async function transferWithRetries<T>(
  client: HttpClient,
  address: string,
  options: () => GetOptions,
  transfer: (response: IncomingMessage) => Promise<T>,
): Promise<T> {
  let wait = FIRST_PAUSE_MS;
  for (let attempt = 1; ; attempt++) {
    try {
      const response = await get(client, address, options());
      const status = response.statusCode ?? 0;
      if (status < 500 && status !== 429) return await transfer(response);
      response.resume();
      throw new Error(`the server answers ${status}`);
    } catch (error) {
      if (client.signal?.aborted === true) throw new DebianError('ABORTED', 'Stopped: interrupted');
      if (error instanceof DebianError) throw error;
      if (attempt === MAX_TRIES) {
        throw new DebianError('NETWORK', `Cannot fetch ${address}: ${errorText(error)}`, error);
      }
      await pause(wait, client.signal);
      wait *= 2;
    }
  }
}

/** Largest document that is held in memory whole, in bytes: ten times an InRelease of today. */
const MAX_DOCUMENT_BYTES = 4 * 2 ** 20;

/** Fetches a small document. @returns its bytes, or null when the server says 404 or 410. */
export function fetchDocument(
  client: HttpClient,
  address: string,
  fresh: boolean,
): Promise<Buffer | null> {
  return transferWithRetries(
    client,
    address,
    () => ({ fresh }),
    async (response) => {
      const status = response.statusCode ?? 0;
      if (status === 404 || status === 410) {
        response.resume();
        return null;
      }
      if (status !== 200) {
        response.resume();
        throw new DebianError('NETWORK', `Cannot fetch ${address}: the server answers ${status}`);
      }
      const chunks: Buffer[] = [];
      let bytes = 0;
      for await (const chunk of response as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        if (bytes > MAX_DOCUMENT_BYTES)
          throw new DebianError('NETWORK', `Cannot fetch ${address}: it is too long`);
        chunks.push(chunk);
      }
      return Buffer.concat(chunks);
    },
  );
}
