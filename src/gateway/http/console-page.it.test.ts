import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliDecompressSync, brotliCompressSync, gzipSync, gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createMetrics } from '../../platform/metrics.ts';
import { startScriptedMarket } from '../../testing/scripted-market.ts';
import type { ScriptedMarket } from '../../testing/scripted-market.ts';
import { createHttpGateway } from './app.ts';
import type { HttpGateway } from './app.ts';

const PAGE = '<!doctype html><script type="module" src="/assets/index-1234.js"></script>';
const SCRIPT = 'export const x = 1;\n'.repeat(200);
let folder: string;
let scripted: ScriptedMarket;
let gateway: HttpGateway;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tidewire-console-'));
  mkdirSync(join(folder, 'assets'));
  writeFileSync(join(folder, 'index.html'), PAGE);
  writeFileSync(join(folder, 'assets/index-1234.js'), SCRIPT);
  writeFileSync(join(folder, 'assets/index-1234.js.br'), brotliCompressSync(SCRIPT));
  writeFileSync(join(folder, 'assets/index-1234.js.gz'), gzipSync(SCRIPT));
  writeFileSync(join(folder, 'stamp.txt'), 'not for the public');
  scripted = await startScriptedMarket(['binance']);
  const limits = { corsOrigins: [], trustProxy: [], rateLimitPerMinute: 3 };
  gateway = await createHttpGateway({ ...scripted, ...limits, version: '1.2.3', consoleBundle: folder });
});

afterAll(async () => {
  await gateway.app.close();
  await scripted.stop();
  rmSync(folder, { recursive: true });
});

describe('the console', () => {
  it('is the first page, with a policy that allows nothing inline and nothing from elsewhere', async () => {
    const page = await gateway.app.inject('/');
    expect(page.body).toBe(PAGE);
    expect(page.headers['content-type']).toBe('text/html; charset=utf-8');
    expect(page.headers['content-security-policy']).toMatch(/default-src 'none'.*script-src 'self';style-src 'self'/);
    expect(page.headers['content-security-policy']).not.toMatch(/unsafe|https?:|\*/);
  });

  it('shows a new build at the next visit, and costs no transfer when there is none', async () => {
    const { headers } = await gateway.app.inject('/');
    expect(headers['cache-control']).toBe('no-cache');
    const again = await gateway.app.inject({ url: '/', headers: { 'if-none-match': String(headers.etag) } });
    expect([again.statusCode, again.body]).toEqual([304, '']);
  });

  it('has files that are fetched once for ever, in the encoding that the browser takes', async () => {
    const send = (encoding: string) =>
      gateway.app.inject({ url: '/assets/index-1234.js', headers: { 'accept-encoding': encoding } });
    const brotli = await send('gzip, deflate, br');
    expect(brotli.headers).toMatchObject({
      'cache-control': 'public, max-age=31536000, immutable',
      'content-encoding': 'br',
      'content-type': 'text/javascript; charset=utf-8',
      vary: expect.stringContaining('accept-encoding'),
    });
    expect(brotliDecompressSync(brotli.rawPayload).toString()).toBe(SCRIPT);
    const gzip = await send('br;q=0, gzip');
    expect(gunzipSync(gzip.rawPayload).toString()).toBe(SCRIPT);
    expect((await send('identity')).body).toBe(SCRIPT);
  });

  it('gives out nothing but its page and its files', async () => {
    for (const url of ['/stamp.txt', '/assets/', '/assets/index-1234.js.br', '/assets/%2e%2e/stamp.txt', '/index.html'])
      expect((await gateway.app.inject(url)).statusCode, url).toBe(404);
  });

  it('does not use up the rate of the person who opens it', async () => {
    for (let visit = 0; visit < 6; visit++) {
      expect((await gateway.app.inject('/')).statusCode).toBe(200);
      expect((await gateway.app.inject('/assets/index-1234.js')).statusCode).toBe(200);
    }
  });
});

it('where it was never built, the first page says how to build it', async () => {
  const limits = { corsOrigins: [], trustProxy: [], rateLimitPerMinute: 100 };
  const bare = await createHttpGateway({
    ...scripted,
    metrics: createMetrics({ processMetrics: false }),
    ...limits,
    version: '1',
    consoleBundle: join(folder, 'none'),
  });
  const page = await bare.app.inject('/');
  expect(page.statusCode).toBe(200);
  expect(page.body).toContain('npm run build:console');
  await bare.app.close();
});
