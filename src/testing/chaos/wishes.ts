import type { Random } from '../../kernel/random.ts';
import type { Wish } from './trader-diary.ts';

export type Ground = Readonly<{
  venue: string;
  markets: readonly Readonly<{ symbol: string; base: string; tick: string; lot: string; last: number }>[];
}>;

/** Worth of an order, in quote. */
const LEAST_WORTH = 20;
const WORTH_SPREAD = 400;
const FUNDS_LIMIT = 1_000;
const GTD_MS = { least: 1_500, spread: 6_000 };
type Body = Record<string, unknown>;

function pick<T>(list: readonly T[], random: Random): T {
  return list[Math.floor(random() * list.length)]!;
}

/** A multiple of `step`, at least one. Test amounts only: the product never computes money like this. */
function multiple(value: number, step: string): string {
  const decimals = step.split('.')[1]?.length ?? 0;
  return (Math.max(1, Math.round(value / Number(step))) * Number(step)).toFixed(decimals);
}

/** What a trader does next: `name` makes keys that no other wish has; `open` are orders that may still be there. */
export function wishOf(ground: Ground, random: Random, name: string, open: readonly string[]): Wish {
  const dice = random();
  if (open.length > 0 && dice < 0.2) {
    const orderId = pick(open, random);
    return { act: 'cancel', method: 'DELETE', path: `/v1/orders/${orderId}`, orderId };
  }
  if (open.length > 0 && dice < 0.3) return amendment(ground, random, name, pick(open, random));
  if (dice < 0.33) return { act: 'cancel_all', method: 'DELETE', path: '/v1/orders' };
  if (dice < 0.38) {
    const asset = pick(['USDT', ...ground.markets.map(({ base }) => base)], random);
    const amount = String(1 + Math.floor(random() * FUNDS_LIMIT));
    return { act: 'funds', method: 'POST', path: '/v1/paper/funds', body: { asset, amount }, key: name };
  }
  const wish = dice < 0.5 ? listOf(ground, random) : orderOf(ground, random);
  const { body, ...rest } = wish;
  // By client order id, by Idempotency-Key, or by both.
  const named = random();
  return {
    ...rest,
    body: named < 0.6 ? { ...body, clientOrderId: name } : body,
    ...(named > 0.3 ? { key: name } : {}),
  };
}

function amendment(ground: Ground, random: Random, name: string, orderId: string): Wish {
  const { last, tick, lot } = pick(ground.markets, random);
  const price = multiple(last * (0.98 + random() * 0.04), tick);
  const quantity = multiple((LEAST_WORTH + random() * WORTH_SPREAD) / last, lot);
  const body = random() < 0.5 ? { price } : { quantity };
  return { act: 'amend', method: 'PATCH', path: `/v1/orders/${orderId}`, body, key: name, orderId };
}

type Unkeyed = Readonly<{ act: 'place' | 'place_list'; method: 'POST'; path: string; body: Body }>;

function orderOf(ground: Ground, random: Random): Unkeyed {
  const { symbol, last, tick, lot } = pick(ground.markets, random);
  const side = pick(['buy', 'sell'] as const, random);
  const near = (least: number, spread: number): string => multiple(last * (least + random() * spread), tick);
  const quantity = multiple((LEAST_WORTH + random() * WORTH_SPREAD) / last, lot);
  const common = { account: 'paper', venue: ground.venue, symbol, side };
  const kinds: (() => Body)[] = [
    () => ({ type: 'market', quantity }),
    () =>
      side === 'buy'
        ? { type: 'market', quoteQuantity: String(LEAST_WORTH + Math.floor(random() * WORTH_SPREAD)) }
        : { type: 'market', quantity },
    () => ({ type: 'limit', quantity, price: near(0.96, 0.08) }),
    () => ({ type: 'limit', quantity, price: near(0.98, 0.04), postOnly: random() < 0.3 }),
    () => ({ type: 'limit', quantity, price: near(0.98, 0.04), timeInForce: pick(['IOC', 'FOK'], random) }),
    () => ({
      type: 'limit',
      quantity,
      price: near(0.96, 0.08),
      timeInForce: 'GTD',
      expireAt: Date.now() + GTD_MS.least + Math.floor(random() * GTD_MS.spread),
    }),
    () => ({ type: pick(['stop', 'take_profit'], random), quantity, stopPrice: near(0.97, 0.06) }),
    () => ({ type: 'stop_limit', quantity, stopPrice: near(0.98, 0.04), price: near(0.98, 0.04) }),
    () => ({ type: 'trailing_stop', quantity, trailingDelta: 20 + Math.floor(random() * 200) }),
  ];
  return { act: 'place', method: 'POST', path: '/v1/orders', body: { ...common, ...pick(kinds, random)() } };
}

function listOf(ground: Ground, random: Random): Unkeyed {
  const { symbol, last, tick, lot } = pick(ground.markets, random);
  const quantity = multiple((LEAST_WORTH + random() * WORTH_SPREAD) / last, lot);
  const common = { account: 'paper', venue: ground.venue, symbol, quantity };
  const above = multiple(last * (1.005 + random() * 0.04), tick);
  const below = multiple(last * (0.995 - random() * 0.04), tick);
  const list =
    random() < 0.5
      ? { ...common, kind: 'oco', side: 'sell', limit: { price: above }, stop: { stopPrice: below } }
      : {
          ...common,
          kind: 'bracket',
          side: 'buy',
          entry: random() < 0.5 ? { type: 'market' } : { type: 'limit', price: multiple(last, tick) },
          takeProfit: { price: above },
          stopLoss: { stopPrice: below },
        };
  return { act: 'place_list', method: 'POST', path: '/v1/order-lists', body: list };
}
