import { seededRandom, seedFrom, type Random } from '../../kernel/random.ts';
import { gaussian } from './distributions.ts';
import { BASE_ASSETS } from './assets.ts';

/** The fair prices move in steps of this much simulated time. */
export const PRICE_STEP_MS = 20;

/** Volatility itself wanders (standard deviation of its logarithm) and comes back over this time. */
const VOLATILITY_SPREAD = 0.25;
const VOLATILITY_REVERSION_MS = 600_000;

/** One venue's price of an asset against the common one: wanders by this much and comes back over this time. */
const BASIS_SPREAD_BPS = 1.5;
const BASIS_REVERSION_MS = 30_000;

/** USD and USDT are not the same money: the whole market against USDT moves by this much against USD, slowly. */
const TETHER_SPREAD_BPS = 2;
const TETHER_REVERSION_MS = 3_600_000;

/** A value that is pulled back to zero (Ornstein-Uhlenbeck), advanced in exact steps. */
class MeanReverting {
  readonly #keep: number;
  readonly #push: number;
  readonly #random: Random;
  value = 0;

  constructor(random: Random, options: Readonly<{ spread: number; reversionMs: number; stepMs: number }>) {
    this.#random = random;
    this.#keep = Math.exp(-options.stepMs / options.reversionMs);
    this.#push = options.spread * Math.sqrt(1 - this.#keep ** 2);
  }

  step(): void {
    this.value = this.value * this.#keep + this.#push * gaussian(this.#random);
  }
}

/** One asset's common price in USD, the same for every venue. */
class CommonPrice {
  readonly #random: Random;
  readonly #volatility: MeanReverting;
  readonly #marketShare: number;
  readonly #sigmaPerStep: number;
  logPrice: number;

  constructor(seed: number, base: string) {
    const asset = BASE_ASSETS[base]!;
    this.#random = seededRandom(seedFrom(`${seed}:price:${base}`));
    this.#volatility = new MeanReverting(seededRandom(seedFrom(`${seed}:volatility:${base}`)), {
      spread: VOLATILITY_SPREAD,
      reversionMs: VOLATILITY_REVERSION_MS,
      stepMs: PRICE_STEP_MS,
    });
    this.#marketShare = asset.marketCorrelation;
    this.#sigmaPerStep = (asset.returnBpsPerSecond / 1e4) * Math.sqrt(PRICE_STEP_MS / 1000);
    this.logPrice = Math.log(asset.usdPrice);
  }

  /** `marketMove` is the move that all assets share, standard normal. */
  step(marketMove: number): void {
    this.#volatility.step();
    const own = Math.sqrt(1 - this.#marketShare ** 2) * gaussian(this.#random);
    this.logPrice += this.#sigmaPerStep * Math.exp(this.#volatility.value) * (this.#marketShare * marketMove + own);
  }
}

/** A venue's fair price of one asset: common price x venue basis x what USDT is worth. */
export type FairPrice = () => number;

/**
 * The efficient prices behind all simulated venues: one correlated random walk per asset, and per venue and market a small basis
 * that always comes back, so that prices agree across venues without being equal.
 */
export class PriceProcess {
  readonly #seed: number;
  readonly #market: Random;
  readonly #tether: MeanReverting;
  readonly #prices = new Map<string, CommonPrice>();
  readonly #bases: MeanReverting[] = [];

  constructor(seed: number) {
    this.#seed = seed;
    this.#market = seededRandom(seedFrom(`${seed}:market`));
    this.#tether = new MeanReverting(seededRandom(seedFrom(`${seed}:tether`)), {
      spread: TETHER_SPREAD_BPS,
      reversionMs: TETHER_REVERSION_MS,
      stepMs: PRICE_STEP_MS,
    });
    // Every asset exists whatever is listed: which markets a run shows must not change the prices of the others.
    for (const base of Object.keys(BASE_ASSETS)) this.#prices.set(base, new CommonPrice(seed, base));
  }

  /** Registers one venue's market of an asset. */
  follow(venue: string, base: string, quote: string): FairPrice {
    const random = seededRandom(seedFrom(`${this.#seed}:basis:${venue}:${base}/${quote}`));
    const basis = new MeanReverting(random, {
      spread: BASIS_SPREAD_BPS,
      reversionMs: BASIS_REVERSION_MS,
      stepMs: PRICE_STEP_MS,
    });
    this.#bases.push(basis);
    const common = this.#prices.get(base)!;
    const isTether = quote === 'USDT';
    return () => Math.exp(common.logPrice + (basis.value + (isTether ? this.#tether.value : 0)) / 1e4);
  }

  /** Advances everything by `PRICE_STEP_MS`. */
  step(): void {
    const marketMove = gaussian(this.#market);
    this.#tether.step();
    for (const price of this.#prices.values()) price.step(marketMove);
    for (const basis of this.#bases) basis.step();
  }
}
