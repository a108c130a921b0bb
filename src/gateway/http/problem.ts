import { randomUUID } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { STATUS_CODES } from 'node:http';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import type { ZodFastifySchemaValidationError } from 'fastify-type-provider-zod';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { Refused } from '../../kernel/outcome.ts';
import { databaseFailureIn } from '../../platform/postgres-failure.ts';
import type { DatabaseFailure } from '../../platform/postgres-failure.ts';
import { ERRORS, ERROR_CODES, wireError } from '../../protocol/errors.ts';
import type { ErrorCode, WireError } from '../../protocol/errors.ts';

/** Errors over REST: RFC 9457, with the code of the table that the sockets use as well. */
export const PROBLEM_TYPE = 'application/problem+json';
export const ProblemSchema = z
  .strictObject({
    type: z.string().meta({ description: 'Where the code is explained', examples: ['/docs/streams#error-not_found'] }),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.enum(ERROR_CODES as [ErrorCode, ...ErrorCode[]]),
    temporary: z.boolean().meta({ description: 'the same request may succeed later without a change' }),
    retryAfterMs: z
      .int()
      .optional()
      .meta({ description: 'present only where waiting helps; also as Retry-After in seconds' }),
    requestId: z.string().meta({ description: 'names this request in the server log; also the header x-request-id' }),
  })
  .meta({ id: 'Problem' });
export type Problem = z.infer<typeof ProblemSchema>;

const DETAIL_LIMIT_CHARS = 300;
const DATABASE_RETRY_MS = 1_000;

/** Ends a request from where no reply can be returned: a hook, or a library's callback. */
export class ProblemError extends Error {
  override name = 'ProblemError';
  readonly wire: WireError;

  constructor(wire: WireError) {
    super(wire.message);
    this.wire = wire;
  }
}

function problemOf(wire: WireError, requestId: string, status: number = ERRORS[wire.code].status): Problem {
  return {
    type: `/docs/streams#error-${wire.code}`,
    title: ERRORS[wire.code].title,
    status,
    detail: wire.message.slice(0, DETAIL_LIMIT_CHARS),
    code: wire.code,
    temporary: wire.temporary,
    ...(wire.retryAfterMs === undefined ? {} : { retryAfterMs: wire.retryAfterMs }),
    requestId,
  };
}

export function sendProblem(reply: FastifyReply, wire: WireError): FastifyReply {
  const problem = problemOf(wire, reply.request.id);
  if (wire.retryAfterMs !== undefined) reply.header('retry-after', Math.ceil(wire.retryAfterMs / 1000));
  return (
    reply
      .code(problem.status)
      .header('cache-control', 'no-store')
      // Hooks have set these already, except where a request never got as far as a hook.
      .header('x-request-id', problem.requestId)
      .header('x-content-type-options', 'nosniff')
      .type(`${PROBLEM_TYPE}; charset=utf-8`)
      .send(JSON.stringify(problem))
  );
}

/** A refusal by a module. */
export function sendRefused(
  reply: FastifyReply,
  refusal: Refused<ErrorCode> & Readonly<{ retryAfterMs?: number }>,
): FastifyReply {
  return sendProblem(reply, wireError(refusal.code, refusal.message, refusal.retryAfterMs));
}

/** The last station of everything thrown while a request was served. Nothing of a failure on our side reaches the client. */
export function answerError(error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const wire = wireOf(error);
  if (wire.code === 'internal' || databaseFailureIn(error))
    request.log.error({ event: 'http_request_failed', err: error });
  return sendProblem(reply, wire);
}

const CODE_OF_STATUS: Readonly<Record<number, ErrorCode>> = {
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not_found',
  405: 'method_not_allowed',
  413: 'payload_too_large',
  414: 'bad_request',
  415: 'unsupported_media_type',
  429: 'rate_limited',
  503: 'overloaded',
};

export function wireOf(error: FastifyError): WireError {
  if (error instanceof ProblemError) return error.wire;
  if (hasZodFastifySchemaValidationErrors(error)) return wireError('bad_request', describeIssues(error));
  const failure = databaseFailureIn(error);
  if (failure !== null) return wireOfFailure(failure);
  const status = error.statusCode ?? 500;
  const code = CODE_OF_STATUS[status] ?? (status >= 400 && status < 500 ? 'bad_request' : 'internal');
  // Fastify's own texts for a request that it refuses are constants; any other text may tell of our insides.
  const told = code === 'bad_request' && error.code?.startsWith('FST_ERR_CTP_');
  return wireError(code, told ? error.message : undefined);
}

/** When it is not known whether a command happened, its idempotency key tells: the same request may be sent again. */
function wireOfFailure({ kind }: DatabaseFailure): WireError {
  if (kind === 'outcome_unknown') return wireError('internal', 'It is not known whether this happened: ask again');
  if (kind === 'conflict') return wireError('conflict', undefined, DATABASE_RETRY_MS);
  return wireError('overloaded', 'The database does not answer', DATABASE_RETRY_MS);
}

type ValidationError = Readonly<{
  validation: readonly ZodFastifySchemaValidationError[];
  validationContext?: string | undefined;
}>;

function describeIssues(error: ValidationError): string {
  const place = error.validationContext === 'params' ? 'path' : (error.validationContext ?? 'request');
  return error.validation
    .map((issue) => [place, ...issue.instancePath.split('/').filter(Boolean)].join('.') + `: ${issue.message}`)
    .join('; ');
}

/** Errors of the router itself, before there is a route: an address that cannot be decoded, or one part of it far too long. */
export function answerRouterError(error: FastifyError, _request: FastifyRequest, reply: FastifyReply): void {
  const badUrl = error.code === 'FST_ERR_BAD_URL';
  const message = badUrl ? 'The address is not valid percent-encoding' : 'A part of the address is too long';
  sendProblem(reply, wireError('bad_request', message));
}

const RAW_PROBLEMS: Readonly<Record<string, { status: number; code: ErrorCode; detail: string }>> = {
  HPE_HEADER_OVERFLOW: { status: 431, code: 'payload_too_large', detail: 'The header is too large' },
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, code: 'bad_request', detail: 'The request took too long to arrive' },
};
const RAW_OTHERWISE = { status: 400, code: 'bad_request', detail: 'Not a valid HTTP request' } as const;

/** For bytes that are not an HTTP request: there is no reply to use, and the connection cannot be trusted any further. */
export function answerRawError(error: Error & { code?: string }, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) {
    socket.destroy();
    return;
  }
  const { status, code, detail } = RAW_PROBLEMS[error.code ?? ''] ?? RAW_OTHERWISE;
  const body = JSON.stringify(problemOf(wireError(code, detail), randomUUID(), status));
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: ${PROBLEM_TYPE}; charset=utf-8\r\n`;
  socket.end(`${head}Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`, () =>
    socket.destroy(),
  );
}
