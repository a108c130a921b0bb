import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { extname, join, resolve } from 'node:path';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { PAGE_POLICY } from './content-security.ts';
import type { HttpApp } from './gateway-context.ts';

/** Where `npm run build:console` puts the bundle. */
const BUNDLE = resolve(import.meta.dirname, '../../../dist/console');
const NOT_BUILT = new URL('./assets/not-built.html', import.meta.url);
const PAGE = 'index.html';
/** The names of the bundle's files hold a hash of their content. */
const ASSET_CACHING = 'public, max-age=31536000, immutable';
/** Asked for anew each time, answered 304 by its tag: a new build shows at the next visit. */
const PAGE_CACHING = 'no-cache';
const ENCODINGS = [
  { name: 'br', suffix: '.br' },
  { name: 'gzip', suffix: '.gz' },
] as const;
const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.woff2': 'font/woff2',
};

type Encoding = (typeof ENCODINGS)[number]['name'];
type BundledFile = Readonly<{ type: string; tag: string; plain: Buffer; encoded: Partial<Record<Encoding, Buffer>> }>;

/**
 * The console at `/` and its files under `/assets/`, read once and kept in memory in each encoding. Without a bundle, `/` says
 * how to get one: the server needs no build tools and never builds.
 */
export function addConsole(app: HttpApp, bundle: string = BUNDLE): void {
  const built = existsSync(join(bundle, PAGE));
  addFile(app, '/', built ? readFile(bundle, PAGE) : fileOf(PAGE, readFileSync(NOT_BUILT)), PAGE_CACHING);
  if (!built) return;
  const names = readdirSync(join(bundle, 'assets')).filter((name) => extname(name) in CONTENT_TYPES);
  for (const name of names) addFile(app, `/assets/${name}`, readFile(bundle, `assets/${name}`), ASSET_CACHING);
}

function readFile(bundle: string, name: string): BundledFile {
  const path = join(bundle, name);
  const encoded: BundledFile['encoded'] = {};
  for (const encoding of ENCODINGS) {
    const twin = path + encoding.suffix;
    if (existsSync(twin)) encoded[encoding.name] = readFileSync(twin);
  }
  return { ...fileOf(name, readFileSync(path)), encoded };
}

function fileOf(name: string, plain: Buffer): BundledFile {
  const tag = `"${createHash('sha256').update(plain).digest('base64url').slice(0, 22)}"`;
  return { type: CONTENT_TYPES[extname(name)] ?? 'application/octet-stream', tag, plain, encoded: {} };
}

function addFile(app: HttpApp, url: string, file: BundledFile, caching: string): void {
  app.route({
    method: 'GET',
    url,
    schema: { hide: true },
    ...(file.type.startsWith('text/html')
      ? { helmet: { contentSecurityPolicy: { useDefaults: false, directives: PAGE_POLICY } } }
      : {}),
    handler: async (request, reply) => sendFile(request, reply, file, caching),
  });
}

function sendFile(request: FastifyRequest, reply: FastifyReply, file: BundledFile, caching: string): FastifyReply {
  reply.header('cache-control', caching).header('etag', file.tag).header('vary', 'accept-encoding');
  if (request.headers['if-none-match'] === file.tag) return reply.code(304).send();
  const encoding = ENCODINGS.find(
    ({ name }) => file.encoded[name] && accepts(request.headers['accept-encoding'], name),
  );
  reply.type(file.type);
  if (encoding === undefined) return reply.send(file.plain);
  return reply.header('content-encoding', encoding.name).send(file.encoded[encoding.name]);
}

function accepts(header: string | string[] | undefined, encoding: Encoding): boolean {
  return String(header ?? '')
    .toLowerCase()
    .split(',')
    .map((part) => part.trim().split(/\s*;\s*q=/))
    .some(([name, quality]) => name === encoding && Number(quality ?? 1) > 0);
}
