import { z } from 'zod';
import { SessionsAnswer } from '../../../protocol/accounts.ts';
import { originOf } from '../client-origin.ts';
import type { AccountsGatewayContext, HttpApp } from '../gateway-context.ts';
import { principalOf } from '../principal.ts';
import { sendRefused } from '../problem.ts';
import { DONE_RESPONSE, IdPath, PROBLEM_RESPONSE } from '../shapes.ts';

const tags = ['accounts'];
const querystring = z.strictObject({});

export function sessionRoutes(app: HttpApp, { accounts: { identity } }: AccountsGatewayContext): void {
  app.route({
    method: 'GET',
    url: '/v1/auth/sessions',
    config: { access: { scope: 'session', tier: 'public' } },
    schema: {
      summary: 'Where you are logged in',
      tags,
      querystring,
      response: { 200: SessionsAnswer, default: PROBLEM_RESPONSE },
    },
    handler: async (request) => ({ sessions: await identity.sessions(principalOf(request)) }),
  });
  app.route({
    method: 'DELETE',
    url: '/v1/auth/sessions/:id',
    config: { access: { scope: 'session', tier: 'auth' } },
    schema: {
      summary: 'End a session and its sockets',
      tags,
      querystring,
      params: IdPath,
      response: { 204: DONE_RESPONSE, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) => {
      const answer = await identity.revokeSession(principalOf(request), request.params.id, originOf(request));
      return answer.ok ? reply.code(204).send(null) : sendRefused(reply, answer);
    },
  });
}
