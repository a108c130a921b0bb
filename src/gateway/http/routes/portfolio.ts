import { z } from 'zod';
import { wireError } from '../../../protocol/errors.ts';
import { EquityHistoryAnswer } from '../../../protocol/trading-answers.ts';
import { PortfolioSchema, StatisticsSchema, SyncAnswer } from '../../../protocol/trading.ts';
import type { AccountsGatewayContext, HttpApp } from '../gateway-context.ts';
import { limit, timeQuery } from '../page-query.ts';
import { principalOf } from '../principal.ts';
import { sendProblem } from '../problem.ts';
import { integerQuery, textQuery } from '../query.ts';
import { PROBLEM_RESPONSE } from '../shapes.ts';

const tags = ['portfolio'];
const config = { access: { scope: 'read', tier: 'public' } } as const;
const HISTORY_POINTS = { min: 2, max: 1_000, fallback: 200 } as const;
const DEFAULT_HISTORY_MS = 86_400_000;

const Range = { from: timeQuery('Not before this time'), to: timeQuery('Not after this time; default now') };
const HistoryQuery = z.strictObject({
  ...Range,
  limit: integerQuery({ ...HISTORY_POINTS, description: 'Points at most, spread evenly' }),
});

export function portfolioRoutes(app: HttpApp, context: AccountsGatewayContext): void {
  const { portfolio } = context.accounts;
  app.route({
    method: 'GET',
    url: '/v1/portfolio',
    config,
    schema: {
      summary: 'Balances and positions at live prices, with realised and unrealised profit',
      tags,
      querystring: z.strictObject({}),
      response: { 200: PortfolioSchema, default: PROBLEM_RESPONSE },
    },
    handler: async (request) => portfolio.portfolio(principalOf(request).userId),
  });
  app.route({
    method: 'GET',
    url: '/v1/portfolio/history',
    config,
    schema: {
      summary: 'What it was worth over time; the last day unless asked for otherwise',
      tags,
      querystring: HistoryQuery,
      response: { 200: EquityHistoryAnswer, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) => {
      const range = rangeOf(request.query, context.clock.now(), DEFAULT_HISTORY_MS);
      if (range === null) return sendProblem(reply, wireError('bad_request', 'querystring.from: must not be after to'));
      const { userId } = principalOf(request);
      return { points: await portfolio.equityHistory(userId, { ...range, limit: request.query.limit }) };
    },
  });
  app.route({
    method: 'GET',
    url: '/v1/portfolio/statistics',
    config,
    schema: {
      summary: 'How it went: volume, fees, profit, win rate, drawdown, Sharpe; all of it unless asked for otherwise',
      tags,
      querystring: z.strictObject(Range),
      response: { 200: StatisticsSchema, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) => {
      const range = rangeOf(request.query, context.clock.now(), null);
      if (range === null) return sendProblem(reply, wireError('bad_request', 'querystring.from: must not be after to'));
      return portfolio.statistics(principalOf(request).userId, range);
    },
  });
}

type RangeQuery = Readonly<{ from?: string | undefined; to?: string | undefined }>;

function rangeOf(query: RangeQuery, nowMs: number, defaultMs: number | null): { fromMs: number; toMs: number } | null {
  const toMs = query.to === undefined ? nowMs : Number(query.to);
  const earliest = defaultMs === null ? 0 : Math.max(0, toMs - defaultMs);
  const fromMs = query.from === undefined ? earliest : Number(query.from);
  return fromMs <= toMs ? { fromMs, toMs } : null;
}

const SyncQuery = z.strictObject({
  since: textQuery({
    pattern: /^(?:0|[1-9][0-9]{0,14})$/,
    wanted: 'must be the next of an earlier answer, or 0',
    description: 'Events after this one; from the beginning when left out',
  }),
  limit,
});

/** The log that feeds the private streams, over REST: whoever has read up to `next` has seen everything before it. */
export function syncRoute(app: HttpApp, { accounts: { userLog } }: AccountsGatewayContext): void {
  app.route({
    method: 'GET',
    url: '/v1/sync',
    config,
    schema: {
      summary: 'Everything that happened to you since a place in your log, oldest first and without a gap',
      tags,
      querystring: SyncQuery,
      response: { 200: SyncAnswer, default: PROBLEM_RESPONSE },
    },
    handler: async (request) => {
      const since = Number(request.query.since ?? 0);
      const { events, head } = await userLog.since(principalOf(request).userId, since, request.query.limit);
      return { events: [...events], next: events.at(-1)?.seq ?? since, head };
    },
  });
}
