import type { Agent, Market } from './agents.ts';
import { lotsWorth, ticksBehind } from './agents.ts';
import { meanOfQuantiles, sampleQuantiles } from './distributions.ts';
import { opposite, type OrderSide } from './matching-engine.ts';

/** Takers protect themselves: nothing is taken further than this behind the best price. */
const SWEEP_LIMIT_BPS = 10;
/** Orders this close together belong to one burst, which mostly trades one way. */
const BURST_GAP_MS = 50;
const SAME_SIDE_CHANCE = 0.8;
/** How strongly takers lean towards the fair price when the quotes lag behind it, per basis point. */
const LEAN_PER_BPS = 0.8;

/** Those who trade at once: waiting times and sizes are drawn from the recorded distributions. */
export class TakerAgents implements Agent {
  readonly #market: Market;
  readonly #gapFactor: number;
  #side: OrderSide = 'buy';
  #inBurst = false;
  nextMs = 0;

  constructor(market: Market) {
    this.#market = market;
    const { takersPerSecond, takerGapMs } = market.profile;
    // Five quantiles give the gaps their shape; the rate, which is known better, gives them their scale.
    this.#gapFactor = 1000 / takersPerSecond / meanOfQuantiles(takerGapMs);
  }

  act(nowMs: number): void {
    const { engine, random, profile } = this.#market;
    this.#side = this.#chooseSide();
    const gapMs = sampleQuantiles(random, profile.takerGapMs) * this.#gapFactor;
    this.nextMs = nowMs + gapMs;
    const best = engine.bestTick(opposite(this.#side));
    if (best !== undefined) {
      const reach = Math.floor((best * SWEEP_LIMIT_BPS) / 1e4);
      const taken = engine.placeLimit({
        id: this.#market.nextOrderId(),
        side: this.#side,
        tick: ticksBehind(opposite(this.#side), best, reach),
        lots: lotsWorth(this.#market, sampleQuantiles(random, profile.takerNotional), best),
        timeInForce: 'ioc',
      });
      if (taken.ok) for (const fill of taken.value.fills) this.#market.onFill(fill);
    }
    this.#inBurst = gapMs < BURST_GAP_MS;
  }

  #chooseSide(): OrderSide {
    const { engine, random, scale, fairPrice } = this.#market;
    const at = random();
    if (this.#inBurst && at < SAME_SIDE_CHANCE) return this.#side;
    const bid = engine.bestTick('buy');
    const ask = engine.bestTick('sell');
    if (bid === undefined || ask === undefined) return this.#side;
    const middle = ((bid + ask) / 2) * scale.tickSize;
    const aheadBps = 1e4 * Math.log(fairPrice() / middle);
    return random() < 1 / (1 + Math.exp(-LEAN_PER_BPS * aheadBps)) ? 'buy' : 'sell';
  }
}
