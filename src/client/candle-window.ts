import type { Candle, Candles, Envelope } from '../protocol/messages.ts';
import { isFields } from './frame.ts';
import type { KeeperVerdict, StreamKeeper } from './stream-keeper.ts';

/** Past this many the oldest candle goes: a chart on a screen holds fewer, and a page that stays open for weeks must not grow. */
const WINDOW_LIMIT_CANDLES = 1_000;

/** Oldest first; the last candle may still be open. `changed` is what the last message added or corrected. Never changes after it was made. */
export type CandleSeries = Readonly<{
  candles: readonly Candle[];
  changed: readonly Candle[];
  origin: Candles['origin'];
}>;

/** The last candles of one stream by open time, each in its latest revision. */
export class CandleWindow implements StreamKeeper {
  readonly needsSnapshot = true;
  readonly losesByGap = false;
  #series: CandleSeries | null = null;

  get hasData(): boolean {
    return this.#series !== null;
  }

  get series(): CandleSeries | null {
    return this.#series;
  }

  apply(envelope: Envelope): KeeperVerdict {
    const { data } = envelope;
    if (!isFields(data) || !Array.isArray(data.candles)) return 'malformed';
    const { candles: incoming, origin } = data as Candles;
    if (envelope.kind === 'snapshot') {
      const candles = incoming.slice(-WINDOW_LIMIT_CANDLES);
      this.#series = { candles, changed: candles, origin };
      return 'applied';
    }
    if (!this.#series) return 'no_snapshot';
    const candles = this.#series.candles.slice();
    const changed = incoming.filter((candle) => placeCandle(candles, candle));
    this.#series = { candles: candles.slice(-WINDOW_LIMIT_CANDLES), changed, origin };
    return 'applied';
  }

  clear(): void {
    this.#series = null;
  }

  snapshotData(): unknown {
    return this.#series ? { candles: this.#series.candles, origin: this.#series.origin } : undefined;
  }
}

/** False for a revision older than the one that is there. Searched from the end, where nearly all changes are. */
function placeCandle(candles: Candle[], candle: Candle): boolean {
  let index = candles.length;
  while (index > 0 && candles[index - 1]!.ts > candle.ts) index -= 1;
  const there = candles[index - 1];
  if (there?.ts !== candle.ts) candles.splice(index, 0, candle);
  else if (there.rev > candle.rev) return false;
  else candles[index - 1] = candle;
  return true;
}
