import type { MarketIngest, Upstream } from '../modules/market/index.ts';
import { expect } from 'vitest';
import { createHttpGateway } from '../gateway/http/app.ts';
import type { HttpGateway, HttpGatewaySetup } from '../gateway/http/app.ts';
import { ProblemSchema } from '../gateway/http/problem.ts';
import type { Problem } from '../gateway/http/problem.ts';
import { ERRORS } from '../protocol/errors.ts';
import { createMetrics } from '../platform/metrics.ts';
import { market, startScriptedMarket } from './scripted-market.ts';
import type { ScriptedMarket } from './scripted-market.ts';

/** When everything at the scripted exchange happened. */
export const SCRIPTED_TS = 1_700_000_000_000;
const TS = SCRIPTED_TS;
const LEVELS = 100;

/** An exchange that answers each subscription at once, except for a symbol that never says anything. */
function playExchange(upstream: Upstream, ingest: MarketIngest): void {
  const { venue, symbol } = upstream;
  if (symbol === 'DEAD/USDT') return;
  const times = { ingestTs: TS + 5, exchangeTs: TS };
  if (upstream.channel === 'book') {
    const side = (first: number, step: number) =>
      Float64Array.from({ length: LEVELS * 2 }, (_, index) => (index % 2 === 0 ? first + (step * index) / 2 : 1.5));
    ingest.book({ venue, symbol, bids: side(99.99, -0.01), asks: side(100.01, 0.01), exchangeSeq: 77, ...times });
  } else if (upstream.channel === 'ticker') {
    ingest.ticker({ venue, symbol, fields: { last: '100', bid: '99.990', ask: '100.01' }, ...times });
  } else if (upstream.channel === 'trades') {
    const trades = ['a', 'b', 'c'].map((id, index) => ({
      id,
      price: '100',
      size: '1',
      side: 'buy' as const,
      ts: TS + index,
    }));
    ingest.trades({ venue, symbol, trades, ingestTs: TS + 5 });
  } else if (upstream.channel === 'candles') {
    const candle = (index: number) => ({
      ts: TS + index * 60_000,
      open: '1',
      high: '2',
      low: '1',
      close: '2',
      volume: '3',
    });
    const { timeframe } = upstream;
    ingest.candles({
      venue,
      symbol,
      timeframe,
      candles: [candle(0), candle(1), candle(2)],
      history: true,
      ingestTs: TS,
    });
  }
  ingest.upstreamState(upstream, { status: 'live', since: TS, reason: '' });
}

export async function startQuotedMarket(): Promise<ScriptedMarket> {
  const scripted = await startScriptedMarket(['binance', 'kraken', 'silent'], playExchange);
  scripted.ingest.venueState('binance', { status: 'live', since: TS, reason: '' });
  const binance = ['BTC/USDT', 'ETH/USDT', 'BTC/USDT:USDT', '１２３/USDT', '1000-SATS/USDT', 'DEAD/USDT'];
  scripted.ingest.markets(
    'binance',
    binance.map((symbol) => market('binance', symbol)),
  );
  scripted.ingest.markets('kraken', [market('kraken', 'BTC/USD'), market('kraken', 'OLD/USD', { active: false })]);
  return scripted;
}

export async function startGateway(
  scripted: ScriptedMarket,
  changes: Partial<HttpGatewaySetup> = {},
): Promise<HttpGateway> {
  const { venues, directory, cache, clock, log } = scripted;
  return createHttpGateway({
    venues,
    directory,
    cache,
    clock,
    log,
    metrics: createMetrics({ processMetrics: false }),
    version: '1.2.3',
    corsOrigins: [],
    trustProxy: [],
    rateLimitPerMinute: 100_000,
    ...changes,
  });
}

export function get(gateway: HttpGateway, url: string, headers: Record<string, string> = {}) {
  return gateway.app.inject({ method: 'GET', url, headers });
}

type Request = Readonly<{ method?: 'GET' | 'POST'; payload?: string; headers?: Record<string, string> }>;

/** The answer as a problem; whatever is wrong with its form fails the test. */
export async function readProblem(gateway: HttpGateway, url: string, request: Request = {}): Promise<Problem> {
  const answer = await gateway.app.inject({ method: 'GET', url, ...request });
  expect(answer.headers['content-type']).toBe('application/problem+json; charset=utf-8');
  const problem = ProblemSchema.parse(answer.json());
  expect(problem.status).toBe(answer.statusCode);
  expect(problem.requestId).toBe(answer.headers['x-request-id']);
  expect(problem).toMatchObject({ title: ERRORS[problem.code].title, temporary: ERRORS[problem.code].temporary });
  return problem;
}
