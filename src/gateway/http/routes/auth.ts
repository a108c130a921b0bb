import { z } from 'zod';
import {
  LoginBody,
  PasswordBody,
  RefreshBody,
  RegisterBody,
  SessionGrantSchema,
  StepUpBody,
  StepUpSchema,
  TicketSchema,
} from '../../../protocol/accounts.ts';
import { originOf } from '../client-origin.ts';
import type { AccountsGatewayContext, HttpApp } from '../gateway-context.ts';
import { principalOf } from '../principal.ts';
import { sendRefused } from '../problem.ts';
import { DONE_RESPONSE, PROBLEM_RESPONSE } from '../shapes.ts';
import { StepUpHeader, stepUpTokenOf } from '../step-up.ts';

const tags = ['accounts'];
const querystring = z.strictObject({});
const ENTRANCE = { access: { scope: 'anyone', tier: 'auth' } } as const;
const OWN_ACT = { access: { scope: 'session', tier: 'auth' } } as const;

/** Coming in, staying in, going out. */
export function authRoutes(app: HttpApp, { accounts: { identity } }: AccountsGatewayContext): void {
  app.route({
    method: 'POST',
    url: '/v1/auth/register',
    config: ENTRANCE,
    schema: {
      summary: 'Open an account',
      tags,
      querystring,
      body: RegisterBody,
      response: { 201: SessionGrantSchema, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) => {
      const answer = await identity.register(request.body, originOf(request));
      return answer.ok ? reply.code(201).send(answer.value) : sendRefused(reply, answer);
    },
  });
  app.route({
    method: 'POST',
    url: '/v1/auth/login',
    config: ENTRANCE,
    schema: {
      summary: 'Begin a session',
      description: 'With X-Device-Token of an earlier login on this device, strangers who guess cannot lock you out.',
      tags,
      querystring,
      body: LoginBody,
      response: { 200: SessionGrantSchema, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) => {
      const answer = await identity.login(request.body, originOf(request));
      return answer.ok ? answer.value : sendRefused(reply, answer);
    },
  });
  app.route({
    method: 'POST',
    url: '/v1/auth/refresh',
    config: ENTRANCE,
    schema: {
      summary: 'New tokens for a refresh token',
      description: 'Each refresh token works once. One that comes a second time ends the session that it belonged to.',
      tags,
      querystring,
      body: RefreshBody,
      response: { 200: SessionGrantSchema, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) => {
      const answer = await identity.refresh(request.body.refreshToken, originOf(request));
      return answer.ok ? answer.value : sendRefused(reply, answer);
    },
  });
  ownActs(app, { identity });
}

function ownActs(app: HttpApp, { identity }: Pick<AccountsGatewayContext['accounts'], 'identity'>): void {
  app.route({
    method: 'POST',
    url: '/v1/auth/logout',
    config: OWN_ACT,
    schema: {
      summary: 'End this session and its sockets',
      tags,
      querystring,
      response: { 204: DONE_RESPONSE, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) => {
      await identity.logout(principalOf(request), originOf(request));
      return reply.code(204).send(null);
    },
  });
  app.route({
    method: 'POST',
    url: '/v1/auth/password',
    config: OWN_ACT,
    schema: {
      summary: 'Change the password; needs a step-up, and ends all other sessions',
      tags,
      querystring,
      headers: StepUpHeader,
      body: PasswordBody,
      response: { 204: DONE_RESPONSE, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) => {
      const input = { ...request.body, stepUpToken: stepUpTokenOf(request) };
      const answer = await identity.changePassword(principalOf(request), input, originOf(request));
      return answer.ok ? reply.code(204).send(null) : sendRefused(reply, answer);
    },
  });
  app.route({
    method: 'POST',
    url: '/v1/auth/step-up',
    config: OWN_ACT,
    schema: {
      summary: 'Prove again who you are, for one act',
      tags,
      querystring,
      body: StepUpBody,
      response: { 200: StepUpSchema, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) => {
      const answer = await identity.stepUp(principalOf(request), request.body, originOf(request));
      if (!answer.ok) return sendRefused(reply, answer);
      return { stepUpToken: answer.value.stepUpToken, expiresAt: answer.value.expiresAtMs };
    },
  });
  app.route({
    method: 'POST',
    url: '/v1/auth/ticket',
    config: { access: { scope: 'read', tier: 'public' } },
    schema: {
      summary: 'A one-use ticket that opens a socket',
      tags,
      querystring,
      response: { 200: TicketSchema, default: PROBLEM_RESPONSE },
    },
    handler: async (request) => {
      const { ticket, expiresAtMs } = await identity.issueTicket(principalOf(request));
      return { ticket, expiresAt: expiresAtMs };
    },
  });
}
