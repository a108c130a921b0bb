import { z } from 'zod';
import { ApiKeysAnswer, KeyCreateBody, NewApiKeySchema } from '../../../protocol/accounts.ts';
import { originOf } from '../client-origin.ts';
import type { AccountsGatewayContext, HttpApp } from '../gateway-context.ts';
import { principalOf } from '../principal.ts';
import { sendRefused } from '../problem.ts';
import { DONE_RESPONSE, IdPath, PROBLEM_RESPONSE } from '../shapes.ts';
import { StepUpHeader, stepUpTokenOf } from '../step-up.ts';

const tags = ['API keys'];
const querystring = z.strictObject({});
const config = { access: { scope: 'session', tier: 'auth' } } as const;

/** Keys are made and ended by humans; a key cannot make another. */
export function keyRoutes(app: HttpApp, { accounts: { identity } }: AccountsGatewayContext): void {
  app.route({
    method: 'GET',
    url: '/v1/auth/keys',
    config: { access: { scope: 'session', tier: 'public' } },
    schema: {
      summary: 'Your API keys and when each was last used',
      tags,
      querystring,
      response: { 200: ApiKeysAnswer, default: PROBLEM_RESPONSE },
    },
    handler: async (request) => ({ keys: await identity.keys(principalOf(request)) }),
  });
  app.route({
    method: 'POST',
    url: '/v1/auth/keys',
    config,
    schema: {
      summary: 'Make an API key; needs a step-up',
      description: 'The secret is shown this once.',
      tags,
      querystring,
      headers: StepUpHeader,
      body: KeyCreateBody,
      response: { 201: NewApiKeySchema, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) => {
      const { body } = request;
      const answer = await identity.createKey(principalOf(request), body, stepUpTokenOf(request), originOf(request));
      return answer.ok ? reply.code(201).send(answer.value) : sendRefused(reply, answer);
    },
  });
  app.route({
    method: 'DELETE',
    url: '/v1/auth/keys/:id',
    config,
    schema: {
      summary: 'End an API key and its sockets',
      tags,
      querystring,
      params: IdPath,
      response: { 204: DONE_RESPONSE, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) => {
      const answer = await identity.revokeKey(principalOf(request), request.params.id, originOf(request));
      return answer.ok ? reply.code(204).send(null) : sendRefused(reply, answer);
    },
  });
}
