import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Outcome } from '../../kernel/outcome.ts';
import type { Caller, RequestKey } from '../../modules/orders/index.ts';
import { wireError } from '../../protocol/errors.ts';
import type { ErrorCode } from '../../protocol/errors.ts';
import { IdempotencyKey } from '../../protocol/methods.ts';
import { principalOf } from './principal.ts';
import { sendProblem, sendRefused } from './problem.ts';

/** What may be asked again after: a venue that is away, a book that is not fresh. */
const RETRY_AFTER_MS: Partial<Record<ErrorCode, number>> = {
  market_data_stale: 1_000,
  venue_unavailable: 5_000,
  conflict: 50,
  overloaded: 1_000,
};

/** Two headers of this name arrive joined by a comma and a blank, which is not visible ASCII. */
export const IdempotencyHeader = z.looseObject({ 'idempotency-key': IdempotencyKey.optional() });
/** Told on an answer that an earlier request got as well. */
const HIT_HEADER = 'idempotency-hit';

export function requestKeyOf(request: FastifyRequest): RequestKey {
  const key = request.headers['idempotency-key'];
  return { idempotencyKey: typeof key === 'string' ? key : null };
}

export function callerOf(request: FastifyRequest): Caller {
  const { userId, keyId } = principalOf(request);
  return { userId, actor: keyId === null ? `user ${userId}` : `key ${keyId}`, requestId: request.id };
}

export function sendNotFound(reply: FastifyReply): FastifyReply {
  return sendProblem(reply, wireError('not_found'));
}

export function sendOutcome(reply: FastifyReply, outcome: Outcome<unknown, ErrorCode>): FastifyReply {
  return outcome.ok ? reply.send(outcome.value) : refuse(reply, outcome);
}

/** 201 (or `status`) for what this request did, 200 and the header for what an earlier one did. */
export function sendDone(
  reply: FastifyReply,
  done: Outcome<Readonly<{ value: unknown; repeated: boolean }>, ErrorCode>,
  status: 200 | 201,
): FastifyReply {
  if (!done.ok) return refuse(reply, done);
  const { value, repeated } = done.value;
  if (repeated) return reply.header(HIT_HEADER, 'true').code(200).send(value);
  return reply.code(status).send(value);
}

function refuse(reply: FastifyReply, refusal: Extract<Outcome<never, ErrorCode>, { ok: false }>): FastifyReply {
  const retryAfterMs = RETRY_AFTER_MS[refusal.code];
  return sendRefused(reply, retryAfterMs === undefined ? refusal : { ...refusal, retryAfterMs });
}
