import { z } from 'zod';
import { RecoveryCodesSchema, TotpConfirmBody, TotpSetupSchema } from '../../../protocol/accounts.ts';
import { originOf } from '../client-origin.ts';
import type { AccountsGatewayContext, HttpApp } from '../gateway-context.ts';
import { principalOf } from '../principal.ts';
import { sendRefused } from '../problem.ts';
import { DONE_RESPONSE, PROBLEM_RESPONSE } from '../shapes.ts';
import { StepUpHeader, stepUpTokenOf } from '../step-up.ts';

const tags = ['accounts'];
const querystring = z.strictObject({});
const config = { access: { scope: 'session', tier: 'auth' } } as const;

export function secondFactorRoutes(app: HttpApp, { accounts: { identity } }: AccountsGatewayContext): void {
  app.route({
    method: 'POST',
    url: '/v1/auth/totp',
    config,
    schema: {
      summary: 'Begin to set up an authenticator app',
      description: 'Nothing is asked for at logins until a first code has confirmed it.',
      tags,
      querystring,
      response: { 200: TotpSetupSchema, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) => {
      const answer = await identity.beginTotp(principalOf(request), originOf(request));
      return answer.ok ? answer.value : sendRefused(reply, answer);
    },
  });
  app.route({
    method: 'POST',
    url: '/v1/auth/totp/confirm',
    config,
    schema: {
      summary: 'Switch the second factor on',
      tags,
      querystring,
      body: TotpConfirmBody,
      response: { 200: RecoveryCodesSchema, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) => {
      const answer = await identity.confirmTotp(principalOf(request), request.body.code, originOf(request));
      return answer.ok ? { recoveryCodes: [...answer.value] } : sendRefused(reply, answer);
    },
  });
  app.route({
    method: 'DELETE',
    url: '/v1/auth/totp',
    config,
    schema: {
      summary: 'Switch the second factor off; needs a step-up',
      tags,
      querystring,
      headers: StepUpHeader,
      response: { 204: DONE_RESPONSE, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) => {
      const answer = await identity.disableTotp(principalOf(request), stepUpTokenOf(request), originOf(request));
      return answer.ok ? reply.code(204).send(null) : sendRefused(reply, answer);
    },
  });
  app.route({
    method: 'POST',
    url: '/v1/auth/recovery-codes',
    config,
    schema: {
      summary: 'New recovery codes in place of the old; needs a step-up',
      tags,
      querystring,
      headers: StepUpHeader,
      response: { 200: RecoveryCodesSchema, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) => {
      const answer = await identity.renewRecoveryCodes(principalOf(request), stepUpTokenOf(request), originOf(request));
      return answer.ok ? { recoveryCodes: [...answer.value] } : sendRefused(reply, answer);
    },
  });
}
