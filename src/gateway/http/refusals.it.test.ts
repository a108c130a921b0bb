import { connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startGateway, startQuotedMarket, get, readProblem } from '../../testing/scripted-gateway.ts';
import type { ScriptedMarket } from '../../testing/scripted-market.ts';
import type { HttpGateway } from './app.ts';
import { ProblemSchema } from './problem.ts';

const ALLOWED = 'https://app.example.com';

let scripted: ScriptedMarket;
let gateway: HttpGateway;

beforeAll(async () => {
  scripted = await startQuotedMarket();
  gateway = await startGateway(scripted, { corsOrigins: [ALLOWED] });
  gateway.app.post('/echo', async (request) => request.body);
  gateway.app.get('/fails', async () => {
    throw new Error('select * from secrets at /srv/app.ts:1');
  });
});

afterAll(async () => {
  await gateway.app.close();
  await scripted.stop();
});

describe('errors', () => {
  it.each(['POST', 'PUT', 'PATCH', 'DELETE', 'TRACE'] as const)(
    '%s on an address that takes GET answers 405',
    async (method) => {
      for (const url of ['/v1/markets', '/v1/markets/binance/BTC-USDT/book', '/', '/docs']) {
        const answer = await gateway.app.inject({ method: method as 'POST', url });
        expect([answer.statusCode, answer.json().code, answer.headers['allow']]).toEqual([
          405,
          'method_not_allowed',
          'GET, HEAD',
        ]);
      }
    },
  );

  it.each<[string, object, string]>([
    ['malformed JSON', { payload: '{"a":', headers: { 'content-type': 'application/json' } }, 'bad_request'],
    ['an empty JSON body', { payload: '', headers: { 'content-type': 'application/json' } }, 'bad_request'],
    [
      'prototype pollution',
      { payload: '{"__proto__":{"a":1}}', headers: { 'content-type': 'application/json' } },
      'bad_request',
    ],
    [
      'a large body',
      { payload: JSON.stringify('x'.repeat(20_000)), headers: { 'content-type': 'application/json' } },
      'payload_too_large',
    ],
    ['text', { payload: 'a', headers: { 'content-type': 'text/plain' } }, 'unsupported_media_type'],
    [
      'a form',
      { payload: 'a=1', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
      'unsupported_media_type',
    ],
    ['no content type', { payload: '{}' }, 'unsupported_media_type'],
  ])('%s is refused', async (_name, request, code) => {
    expect((await readProblem(gateway, '/echo', { ...request, method: 'POST' })).code).toBe(code);
  });

  it('an address that is not percent-encoding is refused', async () => {
    expect((await readProblem(gateway, '/v1/markets/%E0%A4%A')).code).toBe('bad_request');
  });

  it('a path part without end is refused', async () => {
    expect((await readProblem(gateway, `/v1/markets/${'a'.repeat(600)}/x/book`)).code).toBe('bad_request');
  });

  it('a failure of ours tells nothing of our insides', async () => {
    const body = await readProblem(gateway, '/fails');
    expect(body.code).toBe('internal');
    expect(JSON.stringify(body)).not.toMatch(/select|srv|app\.ts/);
  });

  it("keep the client's request id when a log can carry it, and no other", async () => {
    expect((await get(gateway, '/v1/venues', { 'x-request-id': 'bot-7.a_b' })).headers['x-request-id']).toBe(
      'bot-7.a_b',
    );
    for (const forged of ['', 'a b', 'x'.repeat(65), '{"level":60}', 'ü']) {
      expect((await get(gateway, '/v1/venues', { 'x-request-id': forged })).headers['x-request-id']).toMatch(
        /^[0-9a-f-]{36}$/,
      );
    }
  });

  it('and requests are logged with their id, without their query', async () => {
    await get(gateway, '/v1/markets?q=find-me', { 'x-request-id': 'log-me' });
    const line = scripted.logged.find((each) => each.requestId === 'log-me');
    expect(line).toMatchObject({ event: 'http_request', method: 'GET', path: '/v1/markets', status: 200 });
    expect(JSON.stringify(line)).not.toContain('find-me');
  });
});

describe('browsers', () => {
  it.each(['https://app.example.com.evil.com', 'http://app.example.com', 'null', 'https://evil.com'])(
    'of the origin %s are not let in',
    async (origin) => {
      const answer = await get(gateway, '/v1/venues', { origin });
      expect(answer.headers['access-control-allow-origin']).toBeUndefined();
    },
  );

  it('of a listed origin are let in, also past a preflight', async () => {
    expect((await get(gateway, '/v1/venues', { origin: ALLOWED })).headers['access-control-allow-origin']).toBe(
      ALLOWED,
    );
    const headers = { origin: ALLOWED, 'access-control-request-method': 'GET' };
    const preflight = await gateway.app.inject({ method: 'OPTIONS', url: '/v1/venues', headers });
    expect([preflight.statusCode, preflight.headers['access-control-allow-origin']]).toEqual([204, ALLOWED]);
  });

  it('are told to do nothing with data, and nothing inline with pages', async () => {
    const data = await get(gateway, '/v1/venues');
    expect(data.headers).toMatchObject({
      'content-security-policy': "default-src 'none';frame-ancestors 'none'",
      'x-content-type-options': 'nosniff',
      'strict-transport-security': 'max-age=31536000',
      'content-type': 'application/json; charset=utf-8',
    });
    for (const url of [
      '/',
      '/docs',
      '/docs/',
      '/docs/streams',
      '/docs/static/swagger-initializer.js',
      '/assets/page.css',
    ]) {
      const page = await get(gateway, url);
      expect(page.statusCode, url).toBe(200);
      const policy = page.headers['content-security-policy'] as string;
      expect(policy, url).toMatch(/default-src 'none'/);
      expect(policy, url).not.toMatch(/unsafe|https?:|\*/);
      if (page.headers['content-type']?.toString().startsWith('text/html')) {
        expect(page.body, url).not.toMatch(/<script(?![^>]*src=)|<style|\son[a-z]+=|style=/);
        expect(page.body, url).not.toMatch(/(?:src|href)="(?:https?:)?\/\//);
      }
    }
  });
});

it('large answers are compressed', async () => {
  const answer = await gateway.app.inject({ url: '/openapi.json', headers: { 'accept-encoding': 'br' } });
  expect(answer.headers['content-encoding']).toBe('br');
});

describe('rate limit', () => {
  it('counts per client address, says how much is left and when to come back', async () => {
    const limited = await startGateway(scripted, { rateLimitPerMinute: 3 });
    const codes: number[] = [];
    for (let count = 0; count < 4; count++) codes.push((await limited.app.inject('/v1/venues')).statusCode);
    expect(codes).toEqual([200, 200, 200, 429]);
    const refused = await limited.app.inject('/nowhere');
    expect(refused.json()).toMatchObject({ code: 'rate_limited', temporary: true, retryAfterMs: expect.any(Number) });
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect(refused.headers).toMatchObject({ 'x-ratelimit-limit': '3', 'x-ratelimit-remaining': '0' });
    expect((await limited.app.inject('/docs')).statusCode).toBe(200);
    expect((await limited.app.inject({ url: '/v1/venues', remoteAddress: '10.9.8.7' })).statusCode).toBe(200);
    await limited.app.close();
  });

  it('cannot be escaped by a forged X-Forwarded-For, but honours the one of a trusted proxy', async () => {
    for (const [trustProxy, second] of [
      [[], 429],
      [['127.0.0.1'], 200],
    ] as const) {
      const limited = await startGateway(scripted, { rateLimitPerMinute: 1, trustProxy });
      const codes: number[] = [];
      for (const address of ['1.2.3.4', '1.2.3.5']) {
        codes.push(
          (await limited.app.inject({ url: '/v1/venues', headers: { 'x-forwarded-for': address } })).statusCode,
        );
      }
      expect(codes).toEqual([200, second]);
      await limited.app.close();
    }
  });
});

it('a draining gateway sends everybody elsewhere', async () => {
  const draining = await startGateway(scripted);
  await draining.app.ready();
  draining.drain();
  const answer = await draining.app.inject('/v1/venues');
  expect([answer.statusCode, answer.json().code, answer.headers['connection']]).toEqual([503, 'draining', 'close']);
  await draining.app.close();
});

describe('raw bytes', () => {
  const cases: [string, string, number][] = [
    ['an unknown verb', 'BREW / HTTP/1.1\r\nHost: x\r\n\r\n', 400],
    ['a header of 64 KB', `GET / HTTP/1.1\r\nHost: x\r\nA: ${'a'.repeat(65_536)}\r\n\r\n`, 431],
    ['an address of 64 KB', `GET /${'a'.repeat(65_536)} HTTP/1.1\r\nHost: x\r\n\r\n`, 431],
    [
      'content length and chunks at once',
      'POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
    ],
    ['two content lengths', 'POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab', 400],
    ['a header line without a name', 'GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n', 400],
    ['a folded header', 'GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n', 400],
    ['noise', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400],
  ];
  it.each(cases)('%s ends the connection with a problem, and only one answer', async (_name, bytes, status) => {
    const raw = await startGateway(scripted);
    await raw.app.listen({ host: '127.0.0.1', port: 0 });
    const { port } = raw.app.server.address() as AddressInfo;
    const text = await new Promise<string>((resolve) => {
      let received = '';
      const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
      socket.on('data', (chunk: Buffer) => (received += chunk.toString()));
      socket.on('error', () => {});
      socket.on('close', () => resolve(received));
    });
    expect(text).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(text.match(/HTTP\/1\.1 /g)).toHaveLength(1);
    const body = ProblemSchema.parse(JSON.parse(text.slice(text.indexOf('\r\n\r\n'))));
    expect(body.status).toBe(status);
    await raw.app.close();
  });
});
