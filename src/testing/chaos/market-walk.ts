import type { MarketIngest, Upstream } from '../../modules/market/index.ts';
import { market, startScriptedMarket } from '../scripted-market.ts';
import type { ScriptedMarket } from '../scripted-market.ts';

export const WALK_VENUE = 'binance';
export const WALK_SYMBOLS = ['BTC/USDT', 'ETH/USDT'] as const;
const STEP_MS = 60;
const LEVELS = 30;
const MIDDLE = 100;
const RANGE = 4;
/** Ticks of 0.01. */
const PERIOD_STEPS = 90;

/**
 * A market that swings between 96 and 104 in about five seconds and trades at every step, so that limits fill, stops are
 * triggered and brackets end within the life of a process that is killed soon. It starts in milliseconds, unlike an exchange.
 */
export async function startMarketWalk(): Promise<ScriptedMarket> {
  const wanted = new Map<string, Upstream>();
  let step = Math.floor(Math.random() * PERIOD_STEPS);
  const scripted = await startScriptedMarket([WALK_VENUE], (upstream, ingest) => {
    setImmediate(() => {
      wanted.set(`${upstream.channel}:${upstream.symbol}`, upstream);
      ingest.upstreamState(upstream, { status: 'live', since: Date.now(), reason: '' });
      say(upstream, ingest, step);
    });
  });
  const { ingest, directory } = scripted;
  ingest.venueState(WALK_VENUE, { status: 'live', since: Date.now(), reason: '' });
  ingest.markets(
    WALK_VENUE,
    WALK_SYMBOLS.map((symbol) => market(WALK_VENUE, symbol, { minNotional: '5' })),
  );
  await directory.loaded(WALK_VENUE);
  const timer = setInterval(() => {
    step += 1;
    for (const upstream of wanted.values()) say(upstream, ingest, step);
  }, STEP_MS);
  return {
    ...scripted,
    async stop() {
      clearInterval(timer);
      await scripted.stop();
    },
  };
}

let count = 0;

function say({ channel, venue, symbol }: Upstream, ingest: MarketIngest, step: number): void {
  const nowMs = Date.now();
  const middle = MIDDLE + RANGE * Math.sin((step / PERIOD_STEPS) * 2 * Math.PI);
  const at = (ticks: number): number => Number((middle + ticks / 100).toFixed(2));
  if (channel === 'book') {
    const side = (direction: number): Float64Array =>
      Float64Array.from({ length: LEVELS * 2 }, (_, index) => (index % 2 ? 3 : at(direction * (1 + index))));
    ingest.book({
      venue,
      symbol,
      bids: side(-1),
      asks: side(1),
      exchangeSeq: ++count,
      exchangeTs: nowMs,
      ingestTs: nowMs,
    });
  } else if (channel === 'ticker') {
    const fields = { last: at(0).toFixed(2), bid: at(-1).toFixed(2), ask: at(1).toFixed(2) };
    ingest.ticker({ venue, symbol, fields, ingestTs: nowMs });
  } else if (channel === 'trades') {
    const side = step % 2 ? 'buy' : 'sell';
    const trades = [
      { id: `${nowMs}-${++count}`, price: at(side === 'buy' ? 2 : -2).toFixed(2), size: '1', side, ts: nowMs },
    ] as const;
    ingest.trades({ venue, symbol, trades: [...trades], ingestTs: nowMs });
  }
}
