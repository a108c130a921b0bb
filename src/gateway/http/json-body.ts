import type { Buffer } from 'node:buffer';
import type { FastifyRequest } from 'fastify';
import { wireError } from '../../protocol/errors.ts';
import type { HttpApp } from './gateway-context.ts';
import { ProblemError } from './problem.ts';
import { parseStrictJson } from './strict-json.ts';

/** The one content type, in the one way that every client writes it. Odd spellings have been used to get past validation. */
const CONTENT_TYPE = /^application\/json(?:; ?charset=utf-8)?$/i;
const METHODS_WITHOUT_BODY: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

/** Bodies are strict JSON and nothing else; the bytes are kept for signatures. */
export function addJsonBodies(app: HttpApp): void {
  app.removeAllContentTypeParsers();
  app.decorateRequest('rawBody', null);
  app.addHook('preParsing', async (request) => {
    const type = request.headers['content-type'];
    if (type === undefined || METHODS_WITHOUT_BODY.has(request.method) || CONTENT_TYPE.test(type)) return;
    throw new ProblemError(wireError('unsupported_media_type', 'Bodies are application/json'));
  });
  app.addHook('preValidation', async (request) => {
    const takesBody = request.is404 || request.routeOptions.schema?.body !== undefined;
    if (request.body === undefined || takesBody || isEmpty(request.body)) return;
    throw new ProblemError(wireError('bad_request', 'This takes no body'));
  });
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, async (request: FastifyRequest, body: Buffer) => {
    request.rawBody = body;
    const parsed = parseStrictJson(body);
    if (!parsed.ok) throw new ProblemError(wireError(parsed.code, parsed.message));
    return parsed.value;
  });
}

function isEmpty(body: unknown): boolean {
  return typeof body === 'object' && body !== null && Object.keys(body).length === 0;
}
