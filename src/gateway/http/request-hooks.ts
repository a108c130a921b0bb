import { createHash, randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { wireError } from '../../protocol/errors.ts';
import type { HttpApp } from './gateway-context.ts';
import type { Metrics } from '../../platform/metrics.ts';
import { ProblemError, sendProblem } from './problem.ts';

const PATH_LOG_LIMIT_CHARS = 200;
const DURATION_BUCKETS_MS = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];
/** Hashing more than this would cost more than sending it again. */
const ETAG_LIMIT_CHARS = 2_000_000;

/** A client's own id is kept so that both sides' logs can be joined, if it is one that a log can carry. */
export function requestIdOf(request: IncomingMessage): string {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && /^[A-Za-z0-9._-]{1,64}$/.test(given) ? given : randomUUID();
}

export function addRequestHooks(app: HttpApp, metrics: Metrics): { drain: () => void } {
  let draining = false;
  const durations = metrics.histogram('http_request_ms', 'Time to answer', DURATION_BUCKETS_MS, ['route', 'status']);
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id);
    if (!draining) return;
    reply.header('connection', 'close');
    throw new ProblemError(wireError('draining'));
  });
  app.addHook('onSend', answerUnchanged);
  app.addHook('onResponse', async (request, reply) => {
    const ms = Math.round(reply.elapsedTime * 10) / 10;
    // The pattern, not the path: a label per path would let any client grow the metrics.
    const route = request.routeOptions.url ?? 'none';
    durations.observe({ route, status: String(reply.statusCode) }, ms);
    const path = request.url.split('?', 1)[0]!.slice(0, PATH_LOG_LIMIT_CHARS);
    request.log.info({ event: 'http_request', method: request.method, path, route, status: reply.statusCode, ms });
  });
  return {
    drain: () => {
      draining = true;
    },
  };
}

/** Answers 304 for content that says it may be kept and has not changed. The tag is weak: compression changes the bytes. */
async function answerUnchanged(request: FastifyRequest, reply: FastifyReply, payload: unknown): Promise<unknown> {
  const keeps = reply.getHeader('cache-control');
  if (reply.statusCode !== 200 || typeof payload !== 'string' || payload.length > ETAG_LIMIT_CHARS) return payload;
  if (keeps === undefined) reply.header('cache-control', 'no-store');
  if (typeof keeps !== 'string' || keeps === 'no-store') return payload;
  const tag = `W/"${createHash('sha256').update(payload).digest('base64url').slice(0, 22)}"`;
  reply.header('etag', tag);
  const known = request.headers['if-none-match'];
  if (known === undefined || !known.split(',').some((each) => each.trim() === tag)) return payload;
  reply.code(304).removeHeader('content-type').removeHeader('content-length');
  return null;
}

const OTHER_METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'TRACE'];

/**
 * Every address answers 405 to the other methods, before a body is read. Watches the routes as they are
 * added, so that none can be forgotten; the answer's second half is called when all are there.
 */
export function watchMethods(app: HttpApp): { refuseOthers: () => void } {
  const taken = new Map<string, Set<string>>();
  app.addHook('onRoute', (route) => {
    const methods = taken.get(route.url) ?? new Set<string>();
    for (const method of [route.method].flat()) methods.add(method);
    taken.set(route.url, methods);
  });
  return {
    refuseOthers() {
      const addresses = [...taken].filter(([url, methods]) => methods.has('GET') || url.startsWith('/v1/'));
      for (const [url, methods] of addresses) {
        const allow = [...methods].join(', ');
        app.route({
          method: OTHER_METHODS.filter((method) => !methods.has(method)),
          url,
          schema: { hide: true },
          preParsing: async (_request, reply) => {
            // The body stays unread, so nothing else can follow on this connection.
            reply.header('allow', allow).header('connection', 'close');
            throw new ProblemError(wireError('method_not_allowed'));
          },
          handler: async () => undefined,
        });
      }
    },
  };
}

const ROUTED_METHODS = new Set(['HEAD', ...OTHER_METHODS]);

/** Methods that no route takes end here too: they are the wrong method everywhere. */
export function answerNotFound(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  return sendProblem(reply, wireError(ROUTED_METHODS.has(request.method) ? 'not_found' : 'method_not_allowed'));
}
