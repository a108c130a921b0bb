import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { expectOrdersSound, fundsOf, limitOrder, marketOrder, placeList } from '../../../testing/orders.ts';
import { PaperStage } from '../../../testing/paper-stage.ts';
import { startTestPostgres } from '../../../testing/postgres.ts';
import type { TestPostgres } from '../../../testing/postgres.ts';

let server: TestPostgres;
let stage: PaperStage;

beforeAll(async () => {
  server = await startTestPostgres();
});
afterAll(async () => {
  await server.stop();
});
beforeEach(async () => {
  const at = await server.createDatabase();
  stage = await PaperStage.open(await at.open());
  stage.setBook(
    [
      [99, 2],
      [98, 5],
    ],
    [
      [101, 2],
      [102, 5],
    ],
  );
});
afterEach(async () => {
  await stage.stop();
  await expectOrdersSound(stage.rig.database);
});

describe('the paper engine', () => {
  it('takes a market order from place to balances, with the book position that it was made from', async () => {
    await stage.startEngine();
    const user = await stage.rig.createUser();
    const placed = await stage.place(user, marketOrder({ quantity: '3', protectionPrice: '102' }));
    const done = await stage.expectOrder(user, placed, 'filled 3/3');
    expect(done).toMatchObject({ filledQuote: '304', simulated: true, hold: null, fees: [{ amount: '0.003' }] });
    expect(await fundsOf(stage.rig, user, 'PAPER:USDT')).toBe('9696/0');
    expect(await fundsOf(stage.rig, user, 'PAPER:BTC')).toBe('12.997/0');
    const fills = await stage.rig.orders.desk.fills(user.userId, { limit: 10 });
    expect(fills.map(({ price, quantity, liquidity }) => `${liquidity} ${quantity} @ ${price}`)).toEqual([
      'taker 1 @ 102',
      'taker 2 @ 101',
    ]);
    const { position } = stage.market.cache.lease('book:binance:BTC/USDT:100:100ms', SILENT).view;
    expect(fills[0]!.market).toMatchObject({
      ...position,
      exchangeSeq: expect.any(Number),
      latencyMs: 1,
      tradeId: null,
    });
  });

  it('rests, is filled by a public trade, and names it', async () => {
    await stage.startEngine();
    const user = await stage.rig.createUser();
    const placed = await stage.place(user, limitOrder({ quantity: '1', price: '99.5' }));
    await stage.expectOrder(user, placed, 'accepted 0/1');
    await expectTrades(stage);
    const tradeId = stage.trade('99.00', '0.4', 'sell');
    await stage.expectOrder(user, placed, 'partially_filled 0.4/1');
    const [fill] = await stage.rig.orders.desk.fills(user.userId, { limit: 1 });
    expect(fill).toMatchObject({ liquidity: 'maker', price: '99.5', market: { tradeId } });
    await stage.rig.orders.desk.cancel(user, placed.id);
    await stage.expectOrder(user, placed, 'canceled 0.4/1');
    expect(await fundsOf(stage.rig, user, 'PAPER:USDT')).toBe('9960.2/0');
  });

  it('nothing fills on a book in doubt, the order says so, and the doubt is taken back', async () => {
    await stage.startEngine();
    const user = await stage.rig.createUser();
    const resting = await stage.place(user, limitOrder({ quantity: '1', price: '99.5' }));
    await stage.expectOrder(user, resting, 'accepted 0/1');
    stage.say('stale');
    stage.trade('98.00', '5', 'sell');
    await expect.poll(async () => (await stage.order(user, resting)).waiting, { timeout: 10_000 }).toBe('market_data');
    expect(await stage.order(user, resting)).toMatchObject({ status: 'accepted', filledQuantity: '0' });
    stage.say('live');
    await expect.poll(async () => (await stage.order(user, resting)).waiting, { timeout: 10_000 }).toBe(null);
    stage.trade('99.00', '5', 'sell');
    await stage.expectOrder(user, resting, 'filled 1/1');
  });

  it('one leg of an OCO ends the other, whichever comes first', async () => {
    await stage.startEngine();
    const user = await stage.rig.createUser();
    const list = await placeList(stage.rig, user, {
      kind: 'oco',
      account: 'paper',
      venue: 'binance',
      symbol: 'BTC/USDT',
      side: 'sell',
      quantity: '1',
      limit: { price: '105' },
      stop: { stopPrice: '95' },
    });
    const [limit, stop] = list.orders;
    await stage.expectOrder(user, limit!, 'accepted 0/1');
    await stage.expectOrder(user, stop!, 'held 0/1');
    await expectTrades(stage);
    stage.trade('94.90', '0.1', 'sell');
    await stage.expectOrder(user, stop!, 'filled 1/1');
    await stage.expectOrder(user, limit!, 'canceled 0/1');
    expect(await fundsOf(stage.rig, user, 'PAPER:BTC')).toBe('9/0');
  });

  it('the exits of a bracket grow with the entry and shrink each other', async () => {
    await stage.startEngine();
    const user = await stage.rig.createUser();
    const list = await placeList(stage.rig, user, {
      kind: 'bracket',
      account: 'paper',
      venue: 'binance',
      symbol: 'BTC/USDT',
      side: 'sell',
      quantity: '2',
      entry: { type: 'limit', price: '99' },
      takeProfit: { price: '97' },
      stopLoss: { stopPrice: '110' },
    });
    const byRole = (role: string) => list.orders.find((order) => order.role === role)!;
    await stage.expectOrder(user, byRole('entry'), 'filled 2/2');
    await stage.expectOrder(user, byRole('take_profit'), 'accepted 0/2');
    await stage.expectOrder(user, byRole('stop_loss'), 'held 0/2');
    await expectTrades(stage);
    stage.trade('96.00', '0.5', 'sell');
    await stage.expectOrder(user, byRole('take_profit'), 'partially_filled 0.5/2');
    await stage.expectOrder(user, byRole('stop_loss'), 'held 0/1.5');
    stage.trade('111.00', '0.5', 'buy');
    await stage.expectOrder(user, byRole('stop_loss'), 'filled 1.5/1.5');
    await stage.expectOrder(user, byRole('take_profit'), 'canceled 0.5/0.5');
  });

  it('an amendment takes effect in the engine and may take', async () => {
    await stage.startEngine();
    const user = await stage.rig.createUser();
    const placed = await stage.place(user, limitOrder({ quantity: '1', price: '99' }));
    await stage.expectOrder(user, placed, 'accepted 0/1');
    const amended = await stage.rig.orders.desk.amend(user, placed.id, { price: '101', quantity: '1.5' }, NO_KEY);
    expect(amended).toMatchObject({ ok: true });
    await stage.expectOrder(user, placed, 'filled 1.5/1.5');
  });

  it('only one of two engines fills a market, and the other takes over when it goes', async () => {
    const first = await stage.startEngine();
    const user = await stage.rig.createUser();
    const one = await stage.place(user, limitOrder({ quantity: '1', price: '98.5' }));
    await stage.expectOrder(user, one, 'accepted 0/1');
    await stage.startEngine();
    await expectTrades(stage);
    stage.trade('98.00', '0.25', 'sell');
    await stage.expectOrder(user, one, 'partially_filled 0.25/1');
    await stage.stopEngine(first);
    const two = await stage.place(user, limitOrder({ quantity: '1', price: '98.4' }));
    await stage.expectOrder(user, two, 'accepted 0/1');
    stage.trade('98.00', '5', 'sell');
    await stage.expectOrder(user, one, 'filled 1/1');
    await stage.expectOrder(user, two, 'filled 1/1');
  });
});

const SILENT = { onMessage: () => {}, onReset: () => {} };
const NO_KEY = { idempotencyKey: null };

/** The engine hears of trades only once it has subscribed. */
async function expectTrades({ market }: PaperStage): Promise<void> {
  await expect.poll(() => market.wanted.has('trades:binance:BTC/USDT')).toBe(true);
}
