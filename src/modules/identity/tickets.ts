import { accepted } from '../../kernel/outcome.ts';
import { refusalOf } from './core.ts';
import type { Core } from './core.ts';
import type { Answer, AuthRefusal, Principal } from './identity.ts';
import { hashOf, newSecret } from './secrets.ts';
import { ALL_SCOPES } from './sessions.ts';
import { TICKET_MS, TICKETS_PER_USER } from './settings.ts';
import { act } from './store.ts';

const TICKET = /^twt_[A-Za-z0-9_-]{43}$/;

export async function issueTicket(
  core: Core,
  { userId, sessionId, keyId }: Principal,
): Promise<Readonly<{ ticket: string; expiresAtMs: number }>> {
  const ticket = `twt_${newSecret()}`;
  const answer = await act(core.database, 'issue_ticket', {
    userId,
    sessionId,
    keyId,
    hash: hashOf(ticket),
    ticketMs: TICKET_MS,
    ticketsLimit: TICKETS_PER_USER,
  });
  return { ticket, expiresAtMs: answer.expiresAtMs };
}

export async function redeemTicket(core: Core, ticket: string): Answer<Principal, AuthRefusal> {
  if (!TICKET.test(ticket)) return refusalOf({ code: 'unauthorized' });
  const answer = await act(core.database, 'redeem_ticket', { hash: hashOf(ticket) });
  if (answer.status === 'refused') return refusalOf(answer);
  const { userId, roles, sessionId, keyId, scopes, nowMs, endsAtMs } = answer;
  const expiresAtMs = Math.min(nowMs + core.settings.accessTokenMs, endsAtMs ?? Number.POSITIVE_INFINITY);
  return accepted({ userId, roles, sessionId, keyId, scopes: scopes ?? ALL_SCOPES, expiresAtMs });
}
