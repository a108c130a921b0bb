import type { MarketDirectory } from '../../modules/market/index.ts';
import type { WireError } from '../../protocol/errors.ts';
import { wireError } from '../../protocol/errors.ts';
import type { StreamSpec } from '../../protocol/streams.ts';

export type StreamGate = Readonly<{
  /** Why a well-formed stream cannot be had here; null when it can. */
  judge(spec: StreamSpec): WireError | null;
  /** Resolves when `judge` will know better; null when it knows now. */
  undecided(spec: StreamSpec): Promise<void> | null;
}>;

/** Markets are loaded once at the start of a feed, which takes seconds. */
const MARKETS_RETRY_MS = 1_000;

/** Only what a configured venue lists can be subscribed to: otherwise any text would become a subscription at an exchange. */
export function createStreamGate(directory: MarketDirectory): StreamGate {
  const isDown = (name: string) => directory.venues().some(({ venue, status }) => venue === name && status === 'down');
  const find = (spec: StreamSpec) => directory.find(spec.venue, spec.channel === 'venue' ? '' : spec.symbol).found;
  return {
    judge(spec) {
      const found = find(spec);
      if (found === 'unknown_venue') return wireError('unknown_venue');
      if (found === 'market' || spec.channel === 'venue') return null;
      return found === 'unknown_symbol' ? wireError(found) : wireError(found, undefined, MARKETS_RETRY_MS);
    },
    undecided: (spec) =>
      spec.channel !== 'venue' && find(spec) === 'venue_unavailable' && !isDown(spec.venue)
        ? directory.loaded(spec.venue)
        : null,
  };
}
