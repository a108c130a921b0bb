import { z } from 'zod';
import { AuditAnswer, AuditVerificationSchema, RolesBody, UserSchema } from '../../../protocol/accounts.ts';
import { wireError } from '../../../protocol/errors.ts';
import { originOf } from '../client-origin.ts';
import type { AccountsGatewayContext, HttpApp } from '../gateway-context.ts';
import { principalOf } from '../principal.ts';
import { sendProblem, sendRefused } from '../problem.ts';
import { integerQuery, textQuery } from '../query.ts';
import { PROBLEM_RESPONSE } from '../shapes.ts';

const PAGE_LIMIT_ENTRIES = 100;
const DEFAULT_PAGE_ENTRIES = 50;
const AuditQuery = z.strictObject({
  limit: integerQuery({
    min: 1,
    max: PAGE_LIMIT_ENTRIES,
    fallback: DEFAULT_PAGE_ENTRIES,
    description: 'entries a page',
  }),
  cursor: textQuery({
    pattern: /^[1-9][0-9]{0,14}$/,
    wanted: 'must be a `nextCursor` of an earlier page',
    description: '`nextCursor` of the page before',
  }),
});
const querystring = z.strictObject({});

export function userRoutes(app: HttpApp, context: AccountsGatewayContext): void {
  const { identity } = context.accounts;
  app.route({
    method: 'GET',
    url: '/v1/me',
    config: { access: { scope: 'read', tier: 'public' } },
    schema: {
      summary: 'Whose token or key this is',
      tags: ['accounts'],
      querystring,
      response: { 200: UserSchema, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) =>
      (await identity.user(principalOf(request).userId)) ?? sendProblem(reply, wireError('unauthorized')),
  });
  app.route({
    method: 'GET',
    url: '/v1/audit',
    config: { access: { scope: 'session', tier: 'public' } },
    schema: {
      summary: 'What was done in your name, and what was refused; newest first',
      tags: ['accounts'],
      querystring: AuditQuery,
      response: { 200: AuditAnswer, default: PROBLEM_RESPONSE },
    },
    handler: async (request) => {
      const { limit, cursor } = request.query;
      const before = cursor === undefined ? null : Number(cursor);
      const entries = await identity.auditOf(principalOf(request).userId, { before, limit });
      const last = entries.at(-1);
      return { entries, nextCursor: entries.length === limit && last ? String(last.seq) : null };
    },
  });
  adminRoutes(app, context);
}

const ADMIN = { access: { scope: 'admin', tier: 'auth' } } as const;

function adminRoutes(app: HttpApp, { accounts: { identity } }: AccountsGatewayContext): void {
  app.route({
    method: 'PUT',
    url: '/v1/admin/users/roles',
    config: ADMIN,
    schema: {
      summary: "Set a user's roles",
      tags: ['administration'],
      querystring,
      body: RolesBody,
      response: { 200: UserSchema, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) => {
      const { email, roles } = request.body;
      const answer = await identity.setRoles(principalOf(request), email, roles, originOf(request));
      return answer.ok ? answer.value : sendRefused(reply, answer);
    },
  });
  app.route({
    method: 'GET',
    url: '/v1/admin/audit/verification',
    config: ADMIN,
    schema: {
      summary: 'Recompute the hash chain of the whole audit log',
      tags: ['administration'],
      querystring,
      response: { 200: AuditVerificationSchema, default: PROBLEM_RESPONSE },
    },
    handler: async () => identity.verifyAudit(),
  });
}
