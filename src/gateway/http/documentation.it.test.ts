import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ERRORS, ERROR_CODES } from '../../protocol/errors.ts';
import { CLOSE_CODES } from '../../protocol/close-codes.ts';
import { market, startScriptedMarket } from '../../testing/scripted-market.ts';
import type { ScriptedMarket } from '../../testing/scripted-market.ts';
import { createHttpGateway } from './app.ts';
import type { HttpGateway } from './app.ts';

let scripted: ScriptedMarket;
let gateway: HttpGateway;
// oxlint-disable-next-line typescript/no-explicit-any -- parsed documents, whose shape is what is tested
type Json = Record<string, any>;
let openapi: Json;
let asyncapi: Json;
let page: string;

beforeAll(async () => {
  scripted = await startScriptedMarket(['binance']);
  scripted.ingest.markets('binance', [market('binance', 'BTC/USDT')]);
  const limits = { corsOrigins: [], trustProxy: [], rateLimitPerMinute: 1_000, consoleBundle: '/no/such/folder' };
  gateway = await createHttpGateway({ ...scripted, ...limits, version: '1.2.3' });
  openapi = (await gateway.app.inject('/openapi.json')).json();
  asyncapi = (await gateway.app.inject('/asyncapi.json')).json();
  page = (await gateway.app.inject('/docs/streams')).body;
});

afterAll(async () => {
  await gateway.app.close();
  await scripted.stop();
});

function refsOf(document: unknown): string[] {
  return [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map((match) => match[1]!);
}

function resolve(document: Json, ref: string): unknown {
  return ref
    .slice(2)
    .split('/')
    .reduce<Json | undefined>((part, key) => part?.[key.replaceAll('~1', '/').replaceAll('~0', '~')], document);
}

describe('the OpenAPI document', () => {
  it('describes exactly the public routes', () => {
    expect(openapi.openapi).toBe('3.1.0');
    expect(openapi.info.version).toBe('1.2.3');
    const base = '/v1/markets/{venue}/{pair}';
    const reads = ['ticker', 'book', 'trades', 'candles'].map((noun) => `${base}/${noun}`);
    expect(Object.keys(openapi.paths)).toEqual(['/v1/venues', '/v1/markets', base, ...reads]);
  });

  it('has no reference that leads nowhere and no component that nothing leads to', () => {
    const refs = [...new Set(refsOf(openapi))];
    expect(refs.filter((ref) => resolve(openapi, ref) === undefined)).toEqual([]);
    const named = Object.keys(openapi.components.schemas).map((name) => `#/components/schemas/${name}`);
    expect(named.filter((name) => !refs.includes(name))).toEqual([]);
  });

  it('tells numbers in queries as numbers, with their bounds', () => {
    const [depth] = openapi.paths['/v1/markets/{venue}/{pair}/book'].get.parameters.filter(
      (each: Json) => each.name === 'depth',
    );
    expect(depth).toMatchObject({
      in: 'query',
      required: false,
      schema: { type: 'integer', minimum: 1, maximum: 100, default: 25 },
    });
  });

  it('promises the problem shape for everything but success', () => {
    for (const [path, item] of Object.entries<Json>(openapi.paths)) {
      const { default: otherwise } = item.get.responses;
      expect(otherwise.content['application/problem+json'].schema, path).toEqual({
        $ref: '#/components/schemas/Problem',
      });
    }
  });
});

describe('the error tables', () => {
  it('of REST, of the streams and of the page are one table', () => {
    expect(openapi.components.schemas.Problem.properties.code.enum).toEqual(ERROR_CODES);
    expect(asyncapi.components.schemas.Error.properties.code.enum).toEqual(ERROR_CODES);
    expect(asyncapi['x-errors']).toEqual(ERRORS);
    for (const [code, { status, temporary, title }] of Object.entries(ERRORS)) {
      const row = `<tr id="error-${code}"><td><code>${code}</code></td><td>${status}</td><td>${temporary ? 'yes' : 'no'}</td><td>${title.replaceAll("'", '&#39;')}</td></tr>`;
      expect(page).toContain(row);
    }
    expect(page.match(/id="error-/g)).toHaveLength(ERROR_CODES.length);
  });

  it('point each problem at the row that explains it', async () => {
    const { type } = (await gateway.app.inject('/nowhere')).json();
    const [path, anchor] = type.split('#');
    expect((await gateway.app.inject(path)).body).toContain(`id="${anchor}"`);
  });
});

describe('the streams page', () => {
  it('has every message, every close code and no broken link', () => {
    for (const name of Object.keys(asyncapi.components.messages)) expect(page).toContain(`id="schema-${name}"`);
    for (const { code } of Object.values(CLOSE_CODES)) expect(page).toContain(`<td>${code}</td>`);
    const anchors = [...page.matchAll(/href="#([^"]+)"/g)].map((match) => match[1]!);
    expect(anchors.length).toBeGreaterThan(50);
    expect(anchors.filter((anchor) => !page.includes(`id="${anchor}"`))).toEqual([]);
  });

  it('is reachable from the first page where the console is not built, like everything else that is linked there', async () => {
    const landing = (await gateway.app.inject('/')).body;
    const links = [...landing.matchAll(/(?:href|src)="(\/[^"]*)"/g)].map((match) => match[1]!);
    expect(links).toContain('/docs/streams');
    for (const link of [...links, ...[...page.matchAll(/href="(\/[^"]*)"/g)].map((match) => match[1]!)]) {
      expect((await gateway.app.inject(link)).statusCode, link).toBe(200);
    }
  });
});
