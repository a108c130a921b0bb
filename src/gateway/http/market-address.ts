import { z } from 'zod';
import type { Outcome } from '../../kernel/outcome.ts';
import { accepted, refused } from '../../kernel/outcome.ts';
import type { MarketDirectory } from '../../modules/market/index.ts';
import type { ErrorCode } from '../../protocol/errors.ts';
import type { Market } from '../../protocol/market.ts';

/** Longer than any exchange's symbols. */
const PAIR_LIMIT_CHARS = 120;

export const MarketAddress = z.strictObject({
  venue: z
    .string()
    .max(32)
    .meta({ description: 'id of the exchange', examples: ['binance'] }),
  pair: z
    .string()
    .max(PAIR_LIMIT_CHARS)
    .meta({
      description: 'BASE-QUOTE, BASE-QUOTE:SETTLE, or the percent-encoded symbol',
      examples: ['BTC-USDT', 'BTC-USDT:USDT', 'BTC%2FUSDT'],
    }),
});

/**
 * The symbols that a path segment may stand for, likeliest first. `BTC-USDT` is `BTC/USDT`, `BTC-USDT:USDT` is
 * `BTC/USDT:USDT`; an asset's name may hold a dash of its own, so every dash may be the slash. A symbol stands for itself.
 */
export function symbolsOf(pair: string): string[] {
  if (pair.includes('/')) return [pair];
  const dashes = [...pair.matchAll(/-/g)].map((match) => match.index);
  return [...dashes.map((index) => `${pair.slice(0, index)}/${pair.slice(index + 1)}`), pair];
}

export function findMarket(
  directory: MarketDirectory,
  address: z.infer<typeof MarketAddress>,
): Outcome<Market, ErrorCode> {
  for (const symbol of symbolsOf(address.pair)) {
    const answer = directory.find(address.venue, symbol);
    if (answer.found === 'market') return accepted(answer.market);
    if (answer.found === 'unknown_venue') return refused('unknown_venue', `There is no venue ${address.venue} here`);
    if (answer.found === 'venue_unavailable') {
      return refused('venue_unavailable', `${address.venue} has not told its markets yet`);
    }
  }
  return refused('unknown_symbol', `${address.venue} does not list ${address.pair}`);
}
