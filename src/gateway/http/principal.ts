import type { Buffer } from 'node:buffer';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { assert } from '../../kernel/assert.ts';
import type { Outcome } from '../../kernel/outcome.ts';
import { refused } from '../../kernel/outcome.ts';
import type { Identity, Principal } from '../../modules/identity/index.ts';
import { wireError } from '../../protocol/errors.ts';
import type { ErrorCode } from '../../protocol/errors.ts';
import { originOf } from './client-origin.ts';
import type { HttpApp } from './gateway-context.ts';
import { ProblemError } from './problem.ts';
import type { RateTier, RateTiers } from './rate-tiers.ts';
import type { RefusalAudit } from './refusal-audit.ts';
import { isSigned, readSignedRequest } from './signed-request.ts';

/**
 * What a route asks of its caller, written in the route's `config`: `{ access: { scope: 'trade', tier: 'trading' } }`.
 * `read` and `trade` are for sessions and for API keys with that scope, `session` for humans only, `admin` for admins among
 * them, `anyone` for callers who have not proved who they are. `tier` is the rate it counts towards: by user, for `anyone` by address.
 */
export type Access = Readonly<{ scope: 'anyone' | 'read' | 'trade' | 'session' | 'admin'; tier: RateTier }>;

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access;
  }
  interface FastifyRequest {
    principal: Principal | null;
    /** The body as received. */
    rawBody: Buffer | null;
  }
}

/** Who is asking. Only in routes whose access is not `anyone`. */
export function principalOf(request: FastifyRequest): Principal {
  assert(request.principal !== null, `http: ${request.routeOptions.url} asks for a principal without access`);
  return request.principal;
}

export type PrincipalDeps = Readonly<{ identity: Identity; rates: RateTiers; audit: RefusalAudit }>;

/** Takes routes with `access` out of the rate limit for everything else, and documents what they ask. Before that limit and the routes. */
export function declareAccess(app: HttpApp): void {
  app.addHook('onRoute', (route) => {
    const access = route.config?.access;
    if (access === undefined) return;
    route.config = { ...route.config, rateLimit: false };
    if (access.scope === 'anyone') return;
    const keys = access.scope === 'read' || access.scope === 'trade' ? [{ apiKey: [] }] : [];
    route.schema = { ...route.schema, security: [{ bearer: [] }, ...keys] };
  });
}

/**
 * Asks every request of a route with `access` for its rate and its proof of identity: a token is checked before the body is read, a
 * signature, which covers it, after. To be added after what sets headers, so that a browser may read a refusal.
 */
export function addPrincipals(app: HttpApp, { identity, rates, audit }: PrincipalDeps): void {
  app.decorateRequest('principal', null);
  const admit = async (request: FastifyRequest, reply: FastifyReply, access: Access, proved: Proved) => {
    if (!proved.ok) {
      audit({ userId: null, keyId: null, ...placeOf(request), code: proved.code }, originOf(request));
      reply.header('www-authenticate', 'Bearer');
      throw new ProblemError(wireError(proved.code, proved.message, proved.retryAfterMs));
    }
    const principal = proved.value;
    request.principal = principal;
    const problem = scopeProblem(principal, access);
    if (problem !== null) {
      const { userId, keyId } = principal;
      audit({ userId, keyId, ...placeOf(request), code: 'forbidden' }, originOf(request));
      throw new ProblemError(wireError('forbidden', problem));
    }
    await rates.countUser(access.tier, principal.userId, reply);
  };
  app.addHook('onRequest', async (request, reply) => {
    const access = request.routeOptions.config?.access;
    if (access === undefined) return;
    if (access.scope === 'anyone') return rates.countAddress(access.tier, request, reply);
    rates.refuseFailures(request, reply);
    if (!isSigned(request)) await admit(request, reply, access, await proveToken(identity, request));
  });
  app.addHook('preValidation', async (request, reply) => {
    const access = request.routeOptions.config?.access;
    if (access === undefined || access.scope === 'anyone' || request.principal !== null) return;
    await admit(request, reply, access, await proveSignature(identity, request));
  });
  app.addHook('onResponse', async (request, reply) => {
    const access = request.routeOptions.config?.access;
    const unproved = access !== undefined && access.scope !== 'anyone' && request.principal === null;
    const ours = reply.statusCode === 429 || reply.statusCode >= 500;
    if (unproved && !ours) await rates.countFailure(request);
  });
}

type Proved = Outcome<Principal, ErrorCode> & Readonly<{ retryAfterMs?: number }>;

async function proveToken(identity: Identity, request: FastifyRequest): Promise<Proved> {
  const header = request.headers.authorization;
  if (header === undefined) return refused('unauthorized', 'Send Authorization: Bearer, or sign with an API key');
  const token = /^Bearer ([A-Za-z0-9._~+/=-]{1,4096})$/i.exec(header)?.[1];
  if (token === undefined) return refused('unauthorized', 'Authorization is not a bearer token');
  return identity.authenticateToken(token);
}

async function proveSignature(identity: Identity, request: FastifyRequest): Promise<Proved> {
  if (request.headers.authorization !== undefined) {
    return refused('unauthorized', 'Send a bearer token or a signature, not both');
  }
  const signed = readSignedRequest(request);
  if (signed === null) return refused('invalid_signature', 'A header of the signature is missing or not in its form');
  return identity.authenticateSigned(signed, originOf(request));
}

function scopeProblem(principal: Principal, { scope }: Access): string | null {
  if (scope === 'session' || scope === 'admin') {
    if (principal.sessionId === null) return 'This is not for API keys';
    return scope === 'admin' && !principal.roles.includes('admin') ? 'This is for admins' : null;
  }
  if (scope === 'anyone' || principal.scopes.includes(scope)) return null;
  return `The API key lacks the scope ${scope}`;
}

function placeOf(request: FastifyRequest): { route: string } {
  return { route: `${request.method} ${request.routeOptions.url}` };
}
