import { readFileSync } from 'node:fs';
import fastifySwagger from '@fastify/swagger';
import fastifySwaggerUi from '@fastify/swagger-ui';
import { createJsonSchemaTransform, createJsonSchemaTransformObject } from 'fastify-type-provider-zod';
import { createAsyncapiDocument } from './asyncapi.ts';
import { PAGE_POLICY, SWAGGER_POLICY } from './content-security.ts';
import type { HttpApp } from './gateway-context.ts';
import { documentedAs } from './query.ts';
import { renderStreamsPage } from './streams-page.ts';

const DOCUMENT_MAX_AGE_SECONDS = 60;
const DESCRIPTION =
  'Market data at one moment, and everything that belongs to a user. The same live, as streams, is described at /docs/streams. ' +
  'Prices, sizes and amounts are decimal text, times are Unix milliseconds, errors are application/problem+json ' +
  'with a code of one closed table. Unknown or repeated parameters are refused.';

const TAGS = [
  { name: 'markets', description: 'Venues and what is traded there' },
  { name: 'market data', description: 'Tickers, books, trades, candles' },
  { name: 'accounts', description: 'Logins, sessions, the second factor, and what was done in your name' },
  { name: 'API keys', description: 'For programs: scopes, addresses, signatures' },
  { name: 'orders', description: 'Placing, changing, cancelling; what became of it' },
  { name: 'money', description: 'Balances, holds and the statement' },
  { name: 'portfolio', description: 'What it is worth and how it went; your log' },
  { name: 'administration', description: 'For admins' },
];

/** A signature is three headers besides the key's own; a security scheme can name one. */
const SECURITY_SCHEMES = {
  bearer: {
    type: 'http',
    scheme: 'bearer',
    bearerFormat: 'JWT',
    description: 'The `accessToken` of a login, good for some minutes; `POST /v1/auth/refresh` gives the next.',
  },
  apiKey: {
    type: 'apiKey',
    in: 'header',
    name: 'X-Api-Key',
    description:
      'With `X-Api-Timestamp`, `X-Api-Nonce` and `X-Api-Signature`, and `X-Api-Recv-Window` if you like. ' +
      'PROTOCOL.md tells what is signed, with an example.',
  },
} as const;

/** Before the routes: @fastify/swagger learns of each as it is added. */
export async function addOpenapi(app: HttpApp, version: string): Promise<void> {
  const zodToJsonConfig = { override: describeQuery };
  const addComponents = createJsonSchemaTransformObject({ zodToJsonConfig });
  await app.register(fastifySwagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Tidewire REST',
        version,
        description: DESCRIPTION,
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      servers: [{ url: '/' }],
      tags: TAGS,
      components: { securitySchemes: SECURITY_SCHEMES },
    },
    transform: createJsonSchemaTransform({ zodToJsonConfig }),
    transformObject: (document) => withUsedComponents(addComponents(document)),
  });
}

function describeQuery(context: { zodSchema: object; jsonSchema: object }): void {
  const documented = documentedAs(context.zodSchema);
  if (documented === undefined) return;
  for (const key of Object.keys(context.jsonSchema)) Reflect.deleteProperty(context.jsonSchema, key);
  Object.assign(context.jsonSchema, documented);
}

/** The registry holds the shapes of the streams too, each of them twice; the document names what its paths lead to. */
function withUsedComponents<T extends { components?: unknown; paths?: unknown }>(document: T): T {
  const { schemas, ...components } = document.components as { schemas: Record<string, unknown> };
  const used: Record<string, unknown> = {};
  const collect = (part: unknown): void => {
    for (const [, name] of JSON.stringify(part).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      if (name === undefined || name in used) continue;
      used[name] = schemas[name];
      collect(schemas[name]);
    }
  };
  collect(document.paths);
  return { ...document, components: { ...components, schemas: used } };
}

/** After the routes: the documents are made once, from what there is. */
export async function addDocumentation(app: HttpApp, version: string): Promise<void> {
  await app.register(fastifySwaggerUi, {
    routePrefix: '/docs',
    staticCSP: SWAGGER_POLICY,
    theme: { title: 'Tidewire REST' },
    logo: null as never,
    uiConfig: { url: '/openapi.json', validatorUrl: null, tryItOutEnabled: true },
  });
  const asyncapi = createAsyncapiDocument(version);
  const asyncapiText = JSON.stringify(asyncapi);
  const page = renderStreamsPage(asyncapi);
  let openapiText: string | undefined;
  addText(app, '/openapi.json', 'application/json', () => (openapiText ??= JSON.stringify(app.swagger())));
  addText(app, '/asyncapi.json', 'application/json', () => asyncapiText);
  addText(app, '/docs/streams', 'text/html', () => page);
  addFile(app, '/assets/page.css', 'text/css', 'page.css');
}

function addFile(app: HttpApp, url: string, type: string, name: string): void {
  const text = readFileSync(new URL(`./assets/${name}`, import.meta.url), 'utf8');
  addText(app, url, type, () => text);
}

function addText(app: HttpApp, url: string, type: string, text: () => string): void {
  app.route({
    method: 'GET',
    url,
    schema: { hide: true },
    ...(type === 'text/html'
      ? { helmet: { contentSecurityPolicy: { useDefaults: false, directives: PAGE_POLICY } } }
      : {}),
    handler: async (_request, reply) =>
      reply
        .header('cache-control', `public, max-age=${DOCUMENT_MAX_AGE_SECONDS}`)
        .type(`${type}; charset=utf-8`)
        .send(text()),
  });
}

/** The pages and their files do not count against a client's rate: a page of several files is one visit. */
export function isDocumentation(path: string): boolean {
  return path === '/' || path.startsWith('/docs') || path.startsWith('/assets/');
}
