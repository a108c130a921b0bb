import { afterEach, expect, it } from 'vitest';
import { createLog } from '../platform/log.ts';
import { startSandbox } from '../sandbox/index.ts';
import { until } from '../testing/feed-rig.ts';
import { ScriptedTape } from '../testing/scripted-tape.ts';
import type { TappedExchange, TapSink } from './adapter-ccxt.ts';
import { loadExchangeClass, tapExchange } from './adapter-ccxt.ts';
import type { CcxtClient } from './ccxt-surface.ts';
import { RequestBudget } from './request-budget.ts';
import { okx } from './venues/okx.ts';

const SYMBOL = 'BTC/USDT';
const RATE = { capacity: 100, refillPerSecond: 100 };
const clock = { now: () => Date.now(), monotonic: () => performance.now() };
const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
  for (const each of cleanUp.splice(0).toReversed()) await each();
});

/** Many of ccxt's exchanges find out whom to tell by looking through the promises that somebody awaits at that moment. */
async function exchangeThatTellsOnlyTheWaiting(): Promise<Awaited<ReturnType<typeof loadExchangeClass>>> {
  const Okx = await loadExchangeClass('okx');
  return class extends Okx {
    handleTrades(client: CcxtClient, message: unknown): void {
      const parent = Okx.prototype as unknown as { handleTrades: (client: CcxtClient, message: unknown) => void };
      if (Object.keys(client.futures).some((hash) => hash.startsWith('trades')))
        parent.handleTrades.call(this, client, message);
    }
  };
}

async function tapped(
  resolvesOnlyAwaited: boolean,
): Promise<{ heard: string[]; tape: ScriptedTape; tap: TappedExchange<string> }> {
  const tape = new ScriptedTape('okx', [SYMBOL]);
  const sandbox = await startSandbox({ sources: [tape], log: createLog({ level: 'silent' }) });
  const budget = new RequestBudget({ rest: RATE, subscribe: RATE, dial: RATE }, clock, 0);
  const heard: string[] = [];
  const sink: TapSink<string> = {
    subscribing: () => {},
    opened: () => {},
    received: () => {},
    lost: () => {},
    frame: () => true,
    handled: () => {},
    unreadable: () => {},
    resolved: (_client, result) => void heard.push((result as { id: string }[]).at(-1)!.id),
    rejected: () => {},
    limited: () => {},
  };
  const tap = await tapExchange<string>({
    exchangeClass: await exchangeThatTellsOnlyTheWaiting(),
    settings: { venue: 'okx', ccxtId: 'okx', source: 'simulation', sandboxUrl: sandbox.url },
    quirks: { ...okx, resolvesOnlyAwaited },
    budget,
    sink,
    note: () => {},
  });
  cleanUp.push(
    () => sandbox.stop(),
    () => budget.close(),
    () => tap.close(),
  );
  await tap.exchange.loadMarkets();
  return { heard, tape, tap };
}

it('hears two frames of one tick from an exchange that tells only whoever is waiting', async () => {
  const { heard, tape, tap } = await tapped(true);
  void tap.watchFor('trades', (exchange) => exchange.watchTrades(SYMBOL));
  const trading = setInterval(() => {
    tape.trade(SYMBOL);
    tape.trade(SYMBOL);
    tape.trade(SYMBOL);
  }, 5);
  cleanUp.push(() => clearInterval(trading));
  await until(() => heard.length >= 300, 'enough has been heard');
  const ids = heard.map(Number);
  expect(ids).toEqual(ids.map((_, index) => ids[0]! + index));
});
