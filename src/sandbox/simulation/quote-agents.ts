import { type Agent, clearLevel, lotsWorth, type Market, rest, thinLevel } from './agents.ts';
import { exponential, logNormal, sampleQuantiles } from './distributions.ts';
import { QUEUE_SIZE_SCATTER } from './depth-agents.ts';
import type { OrderSide } from './matching-engine.ts';

/** Mean time until market makers refill a best price that was traded away. */
const REPAIR_MEAN_MS = 15;
/** Share of its calibrated queue that a new best price starts with; it grows to its full length afterwards. */
const FIRST_SHARE = 0.9;
/** Orders that stay behind at a price that is no longer the best. */
const LEFT_BEHIND_ORDERS = 1;

/**
 * Market makers: at the recorded rate of best-price changes they move both quotes around the fair price, a recorded spread
 * apart, withdrawing whatever the move would cross (makers cancel before they are run over; takers are calibrated on their own).
 */
export class QuoteAgents implements Agent {
  readonly #market: Market;
  #nextMoveMs = 0;
  #repairMs = Number.POSITIVE_INFINITY;
  #quoted: Readonly<Record<OrderSide, number>> = { buy: 0, sell: 0 };

  constructor(market: Market) {
    this.#market = market;
  }

  get nextMs(): number {
    return Math.min(this.#nextMoveMs, this.#repairMs);
  }

  /** To be called after a trade: a quote that is gone will be renewed soon. */
  noticeTrade(nowMs: number): void {
    const { engine, random } = this.#market;
    const intact = engine.bestTick('buy') === this.#quoted.buy && engine.bestTick('sell') === this.#quoted.sell;
    if (intact || this.#repairMs !== Number.POSITIVE_INFINITY) return;
    this.#repairMs = nowMs + exponential(random, 1 / REPAIR_MEAN_MS);
  }

  act(nowMs: number): void {
    const { profile, random } = this.#market;
    if (nowMs >= this.#nextMoveMs) this.#nextMoveMs = nowMs + exponential(random, profile.requotesPerSecond / 1000);
    this.#repairMs = Number.POSITIVE_INFINITY;
    this.#requote();
  }

  #requote(): void {
    const { profile, random, scale, fairPrice } = this.#market;
    const fairTick = fairPrice() / scale.tickSize;
    const spreadTicks = Math.max(1, Math.round((sampleQuantiles(random, profile.spreadBps) / 1e4) * fairTick));
    const bid = Math.max(1, Math.round(fairTick - spreadTicks / 2));
    const ask = bid + spreadTicks;
    this.#withdrawBetterThan('buy', bid);
    this.#withdrawBetterThan('sell', ask);
    this.#quote('buy', bid);
    this.#quote('sell', ask);
    this.#quoted = { buy: bid, sell: ask };
  }

  #withdrawBetterThan(side: OrderSide, tick: number): void {
    const { engine } = this.#market;
    while (engine.levelsBetterThan(side, tick) > 0) clearLevel(this.#market, side, engine.bestTick(side)!);
  }

  #quote(side: OrderSide, tick: number): void {
    const { engine, profile, random } = this.#market;
    const best = engine.bestTick(side);
    if (best === tick) return;
    if (best !== undefined) thinLevel(this.#market, side, best, LEFT_BEHIND_ORDERS);
    const firstOrders = Math.ceil(profile.ordersAtBest * FIRST_SHARE);
    for (let order = 0; order < firstOrders; order++) {
      const notional = (profile.bestNotional / profile.ordersAtBest) * logNormal(random, QUEUE_SIZE_SCATTER);
      rest(this.#market, side, tick, lotsWorth(this.#market, notional, tick));
    }
  }
}
