import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SessionGrant } from '../../protocol/accounts.ts';
import { callRaw, codeOf, createKeyOver, ownIp, registerOver, signedHeaders } from '../../testing/account-calls.ts';
import { startAccountsServer } from '../../testing/accounts-server.ts';
import type { AccountsServer } from '../../testing/accounts-server.ts';
import { startIdentityRig } from '../../testing/identity.ts';
import type { IdentityRig } from '../../testing/identity.ts';
import { startQuotedMarket } from '../../testing/scripted-gateway.ts';
import type { ScriptedMarket } from '../../testing/scripted-market.ts';
import { ProblemSchema } from './problem.ts';

const ALLOWED = 'https://app.example.com';
type Operation = { security?: object[]; requestBody?: object; responses: Record<string, object>; tags: string[] };

let rig: IdentityRig;
let scripted: ScriptedMarket;
let server: AccountsServer;
let grant: SessionGrant;
/** Of an admin, so that no route ends a request before its body is looked at. */
let adminToken: string;

beforeAll(async () => {
  rig = await startIdentityRig();
  scripted = await startQuotedMarket();
  server = await startAccountsServer(rig, scripted, { setup: { corsOrigins: [ALLOWED] } });
  grant = await registerOver(server, rig);
  const { user } = await registerOver(server, rig);
  await server.identity.setRoles(null, user.email, ['user', 'admin'], rig.origin());
  adminToken = (await rig.login(server.identity, user.email)).accessToken;
});
afterAll(async () => {
  await server.stop();
  await scripted.stop();
  await rig.stop();
});

async function operations(): Promise<[method: string, path: string, operation: Operation][]> {
  const { paths } = (await server.call('GET', '/openapi.json')).body as {
    paths: Record<string, Record<string, Operation>>;
  };
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): [string, string, Operation] => [
      method.toUpperCase(),
      path.replaceAll(/\{\w+\}/g, '018f0000-0000-7000-8000-000000000000'),
      operation,
    ]),
  );
}
const entranceBodies: Readonly<Record<string, object>> = {
  '/v1/auth/register': { email: 'door@example.com', password: 'seven blue horses over a wall' },
  '/v1/auth/login': { email: 'door@example.com', password: 'seven blue horses over a wall' },
  '/v1/auth/refresh': { refreshToken: 'x'.repeat(40) },
};

describe('bodies', () => {
  const login = (headers: Record<string, string>, body: string | Buffer = '{"email":"a@b.cd","password":"x"}') =>
    callRaw(server.port, {
      method: 'POST',
      path: '/v1/auth/login',
      headers: { ...headers, 'x-forwarded-for': ownIp() },
      body,
    });

  it.each([
    'application/json\t;x',
    'APPLICATION/JSON ;',
    'application/json;',
    'application/json; charset=utf-16',
    'application/json, application/json',
    'application/jsonp',
    'text/plain',
    'text/json',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
  ])('of the type %j never reach a handler', async (type) => {
    expect((await login({ 'content-type': type })).status).toBe(415);
  });

  it('without a type never reach a handler, and the plain type does in each of its spellings', async () => {
    expect((await login({})).status).toBe(415);
    for (const type of ['application/json', 'application/json; charset=utf-8', 'Application/JSON;charset=UTF-8']) {
      expect((await login({ 'content-type': type })).status).toBe(401);
    }
  });

  it.each<[string, string | Buffer, number]>([
    ['a key twice', '{"email":"a@b.cd","password":"x","password":"y"}', 400],
    ['__proto__', '{"email":"a@b.cd","password":"x","__proto__":{"x":1}}', 400],
    ['constructor.prototype', '{"email":"a@b.cd","password":"x","constructor":{"prototype":{"x":1}}}', 400],
    ['a NUL', '{"email":"a@b.cd","password":"x\\u0000"}', 400],
    ['half of a surrogate pair', '{"email":"a@b.cd","password":"\\ud800"}', 400],
    ['bytes that are no UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), 400],
    ['a BOM', '\ufeff{"email":"a@b.cd","password":"x"}', 400],
    ['eight thousand levels', '['.repeat(8_000), 400],
    ['nothing', '', 400],
    ['a list', '[]', 400],
    ['null', 'null', 400],
    ['operators for texts', '{"email":{"$ne":null},"password":{"$ne":null}}', 400],
    ['17 KB', JSON.stringify({ email: 'a@b.cd', password: 'x'.repeat(17_000) }), 413],
  ])('with %s are refused', async (_name, body, status) => {
    const answer = await login({ 'content-type': 'application/json' }, body);
    expect(answer.status).toBe(status);
    expect(ProblemSchema.parse(JSON.parse(answer.text)).status).toBe(status);
    expect(({} as { x?: unknown }).x).toBeUndefined();
  });

  it.each(['userId', 'status', 'balance', 'role', 'roles', 'fee', 'createdAt', 'constructor', '__proto__'])(
    'with the extra field %s are refused everywhere',
    async (field) => {
      const taking = (await operations()).filter(([, , operation]) => operation.requestBody !== undefined);
      expect(taking.length).toBeGreaterThan(7);
      for (const [method, path] of taking) {
        const known = JSON.stringify(entranceBodies[path] ?? {}).slice(0, -1);
        const body = `${known}${known === '{' ? '' : ','}${JSON.stringify(field)}:"x"}`;
        const answer = await server.call(method, path, { token: adminToken, body });
        expect([path, answer.status]).toEqual([path, 400]);
      }
    },
  );

  it('of every address take the fields that the document names, and no others', async () => {
    type Schema = { $ref?: string; additionalProperties?: unknown; anyOf?: Schema[]; oneOf?: Schema[] };
    const document = (await server.call('GET', '/openapi.json')).body as {
      components: { schemas: Record<string, Schema> };
    };
    const isStrict = (schema: Schema): boolean => {
      if (schema.$ref) return isStrict(document.components.schemas[schema.$ref.split('/').at(-1)!]!);
      const choices = schema.anyOf ?? schema.oneOf;
      return choices ? choices.every(isStrict) : schema.additionalProperties === false;
    };
    for (const [, path, operation] of await operations()) {
      const content = (operation.requestBody as { content: Record<string, { schema: Schema }> } | undefined)?.content;
      if (content) expect([path, isStrict(content['application/json']!.schema)]).toEqual([path, true]);
    }
  });

  it('that make no sense get an answer that tells nothing of our insides', async () => {
    for (const [method, path] of await operations()) {
      if (method === 'GET') continue;
      const answer = await server.call(method, path, { token: grant.accessToken, body: { amount: {} } });
      expect(answer.status, path).toBeLessThan(500);
      const problem = ProblemSchema.parse(answer.body);
      expect(JSON.stringify(problem), path).not.toMatch(/select|insert|postgres|node_modules|\.ts|at \//i);
    }
  });

  it('where none is taken are refused', async () => {
    const answer = await server.call('POST', '/v1/auth/ticket', { token: grant.accessToken, body: { userId: 'x' } });
    expect(codeOf(answer)).toBe('bad_request');
  });

  it('do not let a second request in behind the first', async () => {
    const email = rig.email();
    const inner = `POST /v1/auth/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 80\r\n\r\n{"email":"${email}"`;
    const outer = `POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${inner}`;
    const text = await new Promise<string>((resolve) => {
      let received = '';
      const socket = connect(server.port, '127.0.0.1', () => socket.write(outer));
      socket.on('data', (chunk: Buffer) => (received += chunk.toString()));
      socket.on('error', () => undefined);
      socket.on('close', () => resolve(received));
    });
    expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 400']);
  });
});

describe('verbs and pages', () => {
  it.each(['GET', 'PUT', 'PATCH', 'DELETE', 'TRACE'])('%s on a login is the wrong method', async (method) => {
    const answer = await callRaw(server.port, { method, path: '/v1/auth/login' });
    expect([answer.status, answer.headers.allow]).toEqual([405, 'POST']);
  });

  it.each(['https://app.example.com.evil.com', 'http://app.example.com', 'null', 'https://evil.com'])(
    'a page of %s learns nothing, not even from a preflight',
    async (origin) => {
      const preflight = await callRaw(server.port, {
        method: 'OPTIONS',
        path: '/v1/auth/login',
        headers: { origin, 'access-control-request-method': 'POST' },
      });
      const answer = await callRaw(server.port, {
        method: 'GET',
        path: '/v1/me',
        headers: { origin, authorization: `Bearer ${grant.accessToken}` },
      });
      for (const { headers } of [preflight, answer]) expect(headers['access-control-allow-origin']).toBeUndefined();
    },
  );

  it('a page of ours may use every verb and header that there is, and may read its refusals', async () => {
    const preflight = await callRaw(server.port, {
      method: 'OPTIONS',
      path: '/v1/auth/keys/x',
      headers: {
        origin: ALLOWED,
        'access-control-request-method': 'DELETE',
        'access-control-request-headers': 'authorization,content-type,x-step-up-token,idempotency-key',
      },
    });
    expect(preflight.headers).toMatchObject({
      'access-control-allow-origin': ALLOWED,
      'access-control-allow-methods': expect.stringContaining('DELETE'),
      'access-control-allow-headers': expect.stringMatching(/x-step-up-token/i),
    });
    expect(preflight.headers['access-control-allow-credentials']).toBeUndefined();
    const refused = await callRaw(server.port, { method: 'GET', path: '/v1/me', headers: { origin: ALLOWED } });
    expect([refused.status, refused.headers['access-control-allow-origin']]).toEqual([401, ALLOWED]);
  });
});

describe('where a request comes from', () => {
  it('cannot be made up by whoever is no trusted proxy', async () => {
    const direct = await startAccountsServer(rig, scripted, { setup: { trustProxy: [] } });
    const made = await registerOver(direct, rig, '1.2.3.4');
    const [row] = await rig.at.admin`
      select ip from identity.audit_log where user_id = ${made.user.id} order by seq desc limit 1`;
    expect(row!.ip).toBe('127.0.0.1');
    await direct.stop();
    const proxied = await registerOver(server, rig, '1.2.3.4');
    const [other] = await rig.at.admin`
      select ip from identity.audit_log where user_id = ${proxied.user.id} order by seq desc limit 1`;
    expect(other!.ip).toBe('1.2.3.4');
  });

  it('cannot forge a line of the log, nor flood it', async () => {
    const body = JSON.stringify({ email: 'a\n{"level":60}@b.cd', password: 'x' });
    expect(codeOf(await server.call('POST', '/v1/auth/login', { body, ip: ownIp() }))).toBe('bad_request');
    const path = `/v1/${'x'.repeat(5_000)}%0a{"level":60}`;
    await callRaw(server.port, { method: 'GET', path, headers: { 'user-agent': 'u'.repeat(8_000) } });
    await registerOver(server, rig);
    for (const line of scripted.logged) {
      expect(line.level).not.toBe(60);
      expect(JSON.stringify(line).length).toBeLessThan(2_048);
    }
    expect(JSON.stringify(scripted.logged)).not.toContain(rig.password);
    expect(JSON.stringify(scripted.logged)).not.toContain(grant.accessToken);
  });
});

describe('refusals', () => {
  const rowsOf = async (requestId: string): Promise<string[]> => {
    const rows = await rig.at.admin`
      select user_id, details ->> 'code' as code from identity.audit_log where request_id = ${requestId}`;
    return rows.map(({ user_id: userId, code }) => `${userId === null ? 'anonymous' : 'user'} ${code}`);
  };

  it('are in the audit log with their request id', async () => {
    const key = await createKeyOver(server, grant.accessToken, rig.password, { scopes: ['read'] });
    const cases: [string, string, Record<string, string>, string][] = [
      ['GET', '/v1/me', {}, 'anonymous unauthorized'],
      ['GET', '/v1/me', { authorization: 'Bearer a.b.c' }, 'anonymous unauthorized'],
      ['GET', '/v1/me', { 'x-api-key': 'k' }, 'anonymous invalid_signature'],
      ['GET', '/v1/auth/keys', signedHeaders(key, 'GET', '/v1/auth/keys'), 'user forbidden'],
      ['GET', '/v1/admin/audit/verification', { authorization: `Bearer ${grant.accessToken}` }, 'user forbidden'],
    ];
    for (const [index, [method, path, headers, expected]] of cases.entries()) {
      const requestId = `refusal-${index}`;
      await server.call(method, path, { headers: { ...headers, 'x-request-id': requestId }, ip: ownIp() });
      await expect.poll(() => rowsOf(requestId), { message: `${path} ${expected}` }).toEqual([expected]);
    }
  });

  it('of somebody who asks for ever do not fill it', async () => {
    const count = async (): Promise<number> =>
      (await rig.at.admin`select count(*)::int as n from identity.audit_log where act = 'request'`)[0]!.n as number;
    const before = await count();
    const ip = ownIp();
    for (let round = 0; round < 60; round++) await server.call('GET', '/v1/me', { ip });
    await expect.poll(count).toBe(before + 1);
    const many = Array.from({ length: 300 }, () => server.call('GET', '/v1/me', { ip: ownIp() }));
    await Promise.all(many);
    expect(await count()).toBeLessThan(before + 100);
    const text = await server.metrics.render();
    expect(text).toMatch(/http_refusals_unaudited_total\{why="repeated"\} \d{2}/);
    expect(text).toMatch(/http_refusals_unaudited_total\{why="pace"\} \d{2,3}/);
  });
});

describe('the OpenAPI document', () => {
  it('says of every address what it asks for, and every address keeps to it', async () => {
    const anonymous = new Set(['/v1/auth/register', '/v1/auth/login', '/v1/auth/refresh']);
    for (const [method, path, operation] of await operations()) {
      const open = anonymous.has(path) || /^\/v1\/(?:venues|markets)/.test(path);
      expect([path, operation.security === undefined], path).toEqual([path, open]);
      expect(operation.responses.default, path).toBeDefined();
      if (open) continue;
      const answer = await server.call(method, path, { ip: ownIp(), ...(operation.requestBody ? { body: {} } : {}) });
      expect([path, answer.status]).toEqual([path, 401]);
      expect(answer.headers.get('cache-control')).toBe('no-store');
    }
  });

  it('names both ways to prove who is asking', async () => {
    const { components } = (await server.call('GET', '/openapi.json')).body as {
      components: { securitySchemes: object };
    };
    expect(Object.keys(components.securitySchemes)).toEqual(['bearer', 'apiKey']);
  });
});
