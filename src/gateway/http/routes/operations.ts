import { z } from 'zod';
import type { Verification } from '../../../modules/ledger/index.ts';
import {
  AdminStatusSchema,
  LedgerCheckSchema,
  TradingSwitchBody,
  TradingSwitchesAnswer,
} from '../../../protocol/trading-answers.ts';
import type { LedgerCheck } from '../../../protocol/trading-answers.ts';
import { originOf } from '../client-origin.ts';
import type { AccountsGatewayContext, HttpApp } from '../gateway-context.ts';
import { principalOf } from '../principal.ts';
import { PROBLEM_RESPONSE } from '../shapes.ts';
import { readVenues } from './venues.ts';

const tags = ['administration'];
const querystring = z.strictObject({});
const config = { access: { scope: 'admin', tier: 'public' } } as const;
/** What an operator looks at first, out of everything that is measured. */
const FIGURES = [
  'gateway_connections',
  'gateway_subscriptions',
  'gateway_streams',
  'gateway_conflating',
  'gateway_queued_frames',
  'gateway_queued_bytes',
  'gateway_oldest_queued_ms',
  'http_reads_waiting',
  'postgres_connections',
] as const;

/** How the system is doing, for admins. */
export function operationsRoutes(app: HttpApp, context: AccountsGatewayContext): void {
  const { clock } = context;
  const { verifyLedger } = context.accounts;
  let last: LedgerCheck | null = null;
  app.route({
    method: 'GET',
    url: '/v1/admin/status',
    config,
    schema: {
      summary: 'Venues, connections, queues and the last check of the ledger',
      tags,
      querystring,
      response: { 200: AdminStatusSchema, default: PROBLEM_RESPONSE },
    },
    handler: async () => {
      const { venues, unreported } = await readVenues(context);
      const figures = figuresIn(await context.metrics.render());
      return { at: clock.now(), venues, unreported, figures, ledger: last };
    },
  });
  switchRoutes(app, context);
  if (verifyLedger === undefined) return;
  let running: Promise<LedgerCheck> | null = null;
  const check = async (): Promise<LedgerCheck> => {
    last = presentCheck(await verifyLedger(), clock.now());
    return last;
  };
  app.route({
    method: 'GET',
    url: '/v1/admin/ledger/verification',
    config: { access: { scope: 'admin', tier: 'auth' } },
    schema: {
      summary: 'Recompute the whole ledger',
      description:
        'Takes as long as the ledger is large; whoever asks meanwhile gets the answer of the check under way.',
      tags,
      querystring,
      response: { 200: LedgerCheckSchema, default: PROBLEM_RESPONSE },
    },
    handler: async () => {
      running ??= check().finally(() => {
        running = null;
      });
      return running;
    },
  });
}

function switchRoutes(app: HttpApp, { accounts }: AccountsGatewayContext): void {
  const { settings, identity } = accounts;
  if (settings === undefined) return;
  const response = { 200: TradingSwitchesAnswer, default: PROBLEM_RESPONSE };
  app.route({
    method: 'GET',
    url: '/v1/admin/trading-switch',
    config,
    schema: { summary: 'Whether orders are taken, by venue', tags, querystring, response },
    handler: async () => ({ switches: await settings.switches() }),
  });
  app.route({
    method: 'PUT',
    url: '/v1/admin/trading-switch',
    config: { access: { scope: 'admin', tier: 'auth' } },
    schema: {
      summary: 'Halt trading, let it only reduce, or take it up again',
      tags,
      querystring,
      body: TradingSwitchBody,
      response,
    },
    handler: async (request) => {
      const { userId } = principalOf(request);
      await settings.setSwitch(request.body, `user ${userId}`);
      await identity.audit({ userId, act: 'trading_switch', outcome: 'ok', details: request.body }, originOf(request));
      return { switches: await settings.switches() };
    },
  });
}

function presentCheck({ ok, breaches, counts }: Verification, at: number): LedgerCheck {
  const { checks, journals, accounts } = counts;
  const told = breaches.map(({ invariant, promise, count }) => ({ invariant, promise, count }));
  return { at, ok, checks, journals, accounts, breaches: told };
}

/** Gauges in the text that a scrape gets, `name{label="value"} figure`, as `name.value`. */
function figuresIn(text: string): Record<string, number> {
  const figures: Record<string, number> = {};
  for (const [, name = '', labels = '', figure] of text.matchAll(/^([a-z0-9_]+)(?:\{([^}]*)\})? (-?[0-9.e+-]+)$/gm)) {
    if (!(FIGURES as readonly string[]).includes(name)) continue;
    const values = [...labels.matchAll(/="([^"]*)"/g)].map((match) => match[1]);
    figures[[name, ...values].join('.')] = Number(figure);
  }
  return figures;
}
