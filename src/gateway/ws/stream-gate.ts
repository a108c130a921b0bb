import type { MarketDirectory } from '../../modules/market/index.ts';
import type { WireError } from '../../protocol/errors.ts';
import { wireError } from '../../protocol/errors.ts';
import type { StreamSpec } from '../../protocol/streams.ts';

/** Says why a well-formed stream cannot be had here; null when it can. */
export type StreamGate = (spec: StreamSpec) => WireError | null;

/** Markets are loaded once at the start of a feed, which takes seconds. */
const MARKETS_RETRY_MS = 1_000;

/** Only what a configured venue lists can be subscribed to: otherwise any text would become a subscription at an exchange. */
export function createStreamGate(directory: MarketDirectory): StreamGate {
  return (spec) => {
    const { found } = directory.find(spec.venue, spec.channel === 'venue' ? '' : spec.symbol);
    if (found === 'unknown_venue') return wireError('unknown_venue');
    if (found === 'market' || spec.channel === 'venue') return null;
    return found === 'unknown_symbol' ? wireError(found) : wireError(found, undefined, MARKETS_RETRY_MS);
  };
}
