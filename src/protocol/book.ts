import { crc32 } from '../kernel/crc32.ts';
import type { BookDelta, BookSnapshot, Level } from './messages.ts';

/** Levels a side that the checksum covers. */
export const CHECKSUM_DEPTH = 10;

/**
 * CRC-32 of the top 10 levels: for each rank, best first, `bidPrice:bidSize:askPrice:askSize` as they stand on the wire,
 * joined by `:`; a side that has run out contributes nothing at that rank.
 */
export function bookChecksum(bids: readonly Level[], asks: readonly Level[]): number {
  const parts: string[] = [];
  for (let rank = 0; rank < CHECKSUM_DEPTH; rank++) {
    const bid = bids[rank];
    const ask = asks[rank];
    if (bid) parts.push(bid[0], bid[1]);
    if (ask) parts.push(ask[0], ask[1]);
  }
  return crc32(parts.join(':'));
}

/** A book that a stream's snapshot and deltas are applied to; used by the gateway, by our client, and fit for anyone's. */
export class BookState {
  bids: Level[] = [];
  asks: Level[] = [];

  reset(snapshot: Pick<BookSnapshot, 'bids' | 'asks'>): void {
    this.bids = snapshot.bids.slice();
    this.asks = snapshot.asks.slice();
  }

  apply(delta: Pick<BookDelta, 'bids' | 'asks'>): void {
    for (const level of delta.bids) placeLevel(this.bids, level, -1);
    for (const level of delta.asks) placeLevel(this.asks, level, 1);
  }

  checksum(): number {
    return bookChecksum(this.bids, this.asks);
  }
}

/** `direction` is 1 for asks (ascending) and -1 for bids (descending). Binary search: a tier has at most 100 levels a side. */
function placeLevel(side: Level[], level: Level, direction: 1 | -1): void {
  const price = Number(level[0]);
  let low = 0;
  let high = side.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((Number(side[middle]![0]) - price) * direction < 0) low = middle + 1;
    else high = middle;
  }
  const there = low < side.length && Number(side[low]![0]) === price;
  if (level[1] === '0') {
    if (there) side.splice(low, 1);
  } else if (there) side[low] = level;
  else side.splice(low, 0, level);
}
