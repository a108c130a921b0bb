import type { Random } from '../../kernel/random.ts';
import type { Agent, Market } from './agents.ts';
import type { MarketProfile } from './calibration.ts';
import { DepthAgents } from './depth-agents.ts';
import type { MarketScale } from './market-scale.ts';
import { type Fill, MatchingEngine, type OrderSide } from './matching-engine.ts';
import type { FairPrice } from './price-process.ts';
import { QuoteAgents } from './quote-agents.ts';
import { TakerAgents } from './taker-agents.ts';

/** Far above what the calibrated agents ever rest (some thousands); reaching it would be a defect, and the engine refuses it. */
const RESTING_LIMIT_ORDERS = 50_000;

export type FloorOptions = Readonly<{
  profile: MarketProfile;
  scale: MarketScale;
  leastLots: number;
  fairPrice: FairPrice;
  random: Random;
  onLevelChange(side: OrderSide, tick: number, lotsBefore: number): void;
  onFill(fill: Fill<number>): void;
}>;

/** One market's matching engine and everybody who trades on it. Knows simulated time only. */
export class TradingFloor {
  readonly engine: MatchingEngine<number>;
  readonly #depth: DepthAgents;
  readonly #quotes: QuoteAgents;
  readonly #takers: TakerAgents;

  constructor(options: FloorOptions) {
    let lastOrderId = 0;
    this.engine = new MatchingEngine({
      restingLimitOrders: RESTING_LIMIT_ORDERS,
      onLevelChange: options.onLevelChange,
    });
    const market: Market = {
      ...options,
      engine: this.engine,
      nextOrderId: () => {
        lastOrderId += 1;
        return lastOrderId;
      },
    };
    this.#depth = new DepthAgents(market);
    this.#quotes = new QuoteAgents(market);
    this.#takers = new TakerAgents(market);
    this.#quotes.act(0);
    this.#depth.populate();
  }

  /** When somebody wants to act next, in simulated milliseconds. */
  get nextMs(): number {
    return this.#next().nextMs;
  }

  /** Lets everybody act whose time has come; false when nobody's had. */
  run(untilMs: number): boolean {
    let acted = false;
    for (;;) {
      const agent = this.#next();
      const atMs = agent.nextMs;
      if (atMs > untilMs) return acted;
      agent.act(atMs);
      if (agent === this.#takers) this.#quotes.noticeTrade(atMs);
      acted = true;
    }
  }

  #next(): Agent {
    const { nextMs } = this.#depth;
    if (this.#quotes.nextMs <= nextMs && this.#quotes.nextMs <= this.#takers.nextMs) return this.#quotes;
    return this.#takers.nextMs <= nextMs ? this.#takers : this.#depth;
  }
}
