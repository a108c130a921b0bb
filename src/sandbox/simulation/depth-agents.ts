import { type Agent, lotsWorth, type Market, rest, SIDES, thinLevel, ticksBehind } from './agents.ts';
import { exponential, logNormal, wholeBetween } from './distributions.ts';
import type { OrderSide } from './matching-engine.ts';

/** Order sizes behind the best price scatter this much (standard deviation of the logarithm). */
const SIZE_SCATTER = 1;
/** The queue at the best price has many small orders and few large ones: that is what makes one taker fill several makers. */
export const QUEUE_SIZE_SCATTER = 1.6;
/** A band with far too many levels (the price has run away from it) loses up to this many at once. */
const SURPLUS_LIMIT_LEVELS = 8;
/** However far a band is from its shape, some orders still go the other way. */
const LEAST_CHANCE = 0.05;

/** One band of the book: ticks `from`..`to` behind the best price. Band 0 is the best price itself. */
type Band = Readonly<{ fromBps: number; untilBps: number; levels: number; notionalPerLevel: number }>;
type Choice = Readonly<{ side: OrderSide; band: Band | null; untilRate: number }>;

/**
 * The many who place and cancel behind the best price. In each band of distance they act at the recorded rate, and place more
 * often than they cancel while the band is thinner than recorded: the depth's shape comes back wherever the price goes.
 */
export class DepthAgents implements Agent {
  readonly #market: Market;
  readonly #choices: Choice[] = [];
  readonly #ratePerMs: number;
  nextMs = 0;

  constructor(market: Market) {
    this.#market = market;
    const { touchChangesPerSecond, bands } = market.profile;
    let rate = 0;
    for (const side of SIDES) {
      rate += touchChangesPerSecond;
      this.#choices.push({ side, band: null, untilRate: rate });
      for (const [index, band] of bands.entries()) {
        rate += band.changesPerSecond;
        const fromBps = index === 0 ? 0 : bands[index - 1]!.untilBps;
        const notionalPerLevel = band.notional / Math.max(band.levels, 1);
        this.#choices.push({ side, band: { ...band, fromBps, notionalPerLevel }, untilRate: rate });
      }
    }
    this.#ratePerMs = rate / 1000;
  }

  /** Fills the book to its shape at once; the best prices must stand. */
  populate(): void {
    for (const { side, band } of this.#choices) {
      if (band === null) continue;
      const range = this.#range(side, band);
      for (let placed = 0; range !== null && placed < range.target; placed++) this.#place(side, range);
    }
  }

  act(nowMs: number): void {
    const { random, engine } = this.#market;
    this.nextMs = nowMs + exponential(random, this.#ratePerMs);
    const at = random() * this.#ratePerMs * 1000;
    const choice = this.#choices.find((each) => at < each.untilRate) ?? this.#choices.at(-1)!;
    if (engine.bestTick(choice.side) === undefined) return;
    if (choice.band === null) this.#changeQueue(choice.side);
    else this.#changeBand(choice.side, choice.band);
  }

  #changeQueue(side: OrderSide): void {
    const { engine, random, profile } = this.#market;
    const best = engine.bestTick(side)!;
    const orders = engine.ordersAt(side, best);
    if (random() < placeChance(orders, profile.ordersAtBest)) {
      const notional = (profile.bestNotional / profile.ordersAtBest) * logNormal(random, QUEUE_SIZE_SCATTER);
      rest(this.#market, side, best, lotsWorth(this.#market, notional, best));
    } else if (orders > 1) {
      // The last order of the best price is the quoting agents' to withdraw.
      engine.cancel(random() < 0.5 ? engine.newestAt(side, best)! : engine.oldestAt(side, best)!);
    }
  }

  #changeBand(side: OrderSide, band: Band): void {
    const range = this.#range(side, band);
    if (range === null) return;
    const { engine, random } = this.#market;
    const levels = range.untilIndex - range.fromIndex;
    if (random() < placeChance(levels, range.target)) {
      this.#place(side, range);
      return;
    }
    const surplus = Math.ceil(levels / range.target - 1);
    const removed = Math.min(levels, Math.max(1, Math.min(SURPLUS_LIMIT_LEVELS, surplus)));
    for (let left = levels; left > levels - removed; left--) {
      const index = range.fromIndex + Math.floor(random() * left);
      thinLevel(this.#market, side, engine.tickAt(side, index)!, 0);
    }
  }

  /** On a coarse tick most places are taken: then the order there is replaced, which keeps the level's size as calibrated. */
  #place(side: OrderSide, range: Range): void {
    const { engine, random } = this.#market;
    const tick = ticksBehind(side, range.best, wholeBetween(random, range.fromTicks, range.untilTicks));
    if (tick < 1) return;
    if (engine.ordersAt(side, tick) > 0) thinLevel(this.#market, side, tick, 0);
    const notional = range.notionalPerLevel * logNormal(random, SIZE_SCATTER);
    rest(this.#market, side, tick, lotsWorth(this.#market, notional, tick));
  }

  /** Null when the tick is too coarse for the band to hold any price. */
  #range(side: OrderSide, band: Band): Range | null {
    const { engine } = this.#market;
    const best = engine.bestTick(side)!;
    const fromTicks = Math.floor((best * band.fromBps) / 1e4) + 1;
    const untilTicks = Math.floor((best * band.untilBps) / 1e4);
    if (untilTicks < fromTicks) return null;
    const isLast = band.untilBps === this.#market.profile.bands.at(-1)!.untilBps;
    const target = Math.max(0.5, Math.min(band.levels, untilTicks - fromTicks + 1));
    return {
      best,
      fromTicks,
      untilTicks,
      target,
      notionalPerLevel: (band.notionalPerLevel * band.levels) / target,
      fromIndex: engine.levelsBetterThan(side, ticksBehind(side, best, fromTicks)),
      // Whatever drifted out of the last band belongs to it, or nobody would ever cancel it.
      untilIndex: isLast ? engine.levels(side) : engine.levelsBetterThan(side, ticksBehind(side, best, untilTicks + 1)),
    };
  }
}

type Range = Readonly<{
  best: number;
  fromTicks: number;
  untilTicks: number;
  target: number;
  notionalPerLevel: number;
  fromIndex: number;
  untilIndex: number;
}>;

/** One half when there are as many as there should be. */
function placeChance(present: number, target: number): number {
  const chance = 0.5 + (0.5 * (target - present)) / target;
  return Math.min(1 - LEAST_CHANCE, Math.max(LEAST_CHANCE, chance));
}
