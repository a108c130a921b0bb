import { least, most } from './fixed-point.ts';

/** How long a trade may come later than the book that already shows it: both are batched, and travel on streams of their own. */
const SHRINK_MEMORY_MS = 1_000;

/**
 * Where a resting order stands. `ahead`: displayed quantity that must trade before it does; it never grows, so that an old note
 * of it is still an upper bound. Null: the book has not reached its price yet, nothing is known.
 */
export type QueuePlace = {
  ahead: bigint | null;
  /** What the book took off `ahead` lately: the trade that explains it may be on its way and must not count twice. */
  shrunk: bigint;
  shrunkMs: number;
};

export function newPlace(displayed: bigint | null): QueuePlace {
  return { ahead: displayed, shrunk: 0n, shrunkMs: 0 };
}

/** Whatever left the level is taken to have stood behind us, as long as that is possible. `displayed` null: out of sight. */
export function seeDisplayed(place: QueuePlace, displayed: bigint | null, nowMs: number): void {
  if (displayed === null) return;
  if (place.ahead === null) {
    place.ahead = displayed;
    return;
  }
  if (displayed >= place.ahead) return;
  if (nowMs - place.shrunkMs > SHRINK_MEMORY_MS) place.shrunk = 0n;
  place.shrunk += place.ahead - displayed;
  place.shrunkMs = nowMs;
  place.ahead = displayed;
}

/** A trade at our price by the other side. Answers how much of it comes through to us. */
export function reachAtPrice(place: QueuePlace, volume: bigint, nowMs: number): bigint {
  if (place.ahead === null || volume <= 0n) return 0n;
  if (nowMs - place.shrunkMs > SHRINK_MEMORY_MS) place.shrunk = 0n;
  const explained = least(place.shrunk, volume);
  place.shrunk -= explained;
  const rest = volume - explained;
  const through = most(0n, rest - place.ahead);
  place.ahead = most(0n, place.ahead - rest);
  return through;
}
