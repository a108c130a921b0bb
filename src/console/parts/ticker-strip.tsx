import type { JSX } from 'preact';
import type { Ticker } from '../../client/index.ts';
import { ABSENT, changePercent, grouped, toneOf } from '../format.ts';
import { messageOf } from '../rest.ts';
import { routeHash } from '../route.ts';
import { useFrameState, useLoaded, useStream } from './hooks.ts';
import { likedMarkets } from './markets.ts';
import type { MarketName } from './markets.ts';

const STRIP_LIMIT = 12;

/** The liked markets of every venue on one line, live. */
export function TickerStrip(): JSX.Element | null {
  const markets = useLoaded('strip', likedMarkets);
  if (markets.status === 'failed') {
    return (
      <div class="strip" role="status">
        <span class="soft">{messageOf(markets.error)}.</span>
        <button type="button" onClick={markets.reload}>
          Try again
        </button>
      </div>
    );
  }
  return (
    <nav class="strip" aria-label="Tickers">
      {(markets.value ?? []).slice(0, STRIP_LIMIT).map(({ venue, symbol }) => (
        <TickerChip key={`${venue}:${symbol}`} venue={venue} symbol={symbol} />
      ))}
    </nav>
  );
}

function TickerChip({ venue, symbol }: MarketName): JSX.Element {
  const ticker = useTicker({ venue, symbol });
  const change = changePercent(ticker.value?.open ?? null, ticker.value?.last ?? null);
  return (
    <a class="chip" href={routeHash('market', venue, symbol)} data-status={ticker.status}>
      <span class="chip-name">
        {symbol} <span class="soft">{venue}</span>
      </span>
      <span class={`chip-price ${ticker.direction}`}>{grouped(ticker.value?.last ?? null)}</span>
      <span class={toneOf(change)}>{change ?? ABSENT}</span>
    </a>
  );
}

export type LiveTicker = Readonly<{ value: Ticker | null; status: string; direction: 'up' | 'down' | '' }>;

/** The newest ticker once a frame at most; the last one stays, with its status, when the stream is in doubt. */
export function useTicker({
  venue,
  symbol,
}: MarketName): LiveTicker & Readonly<{ stream: ReturnType<typeof useStream> }> {
  const [shown, change] = useFrameState<Omit<LiveTicker, 'status'> & { of: string }>({
    value: null,
    direction: '',
    of: '',
  });
  const name = `${venue}:${symbol}`;
  const stream = useStream(name, (client, hooks) =>
    client.ticker(venue, symbol, {
      ...hooks,
      onUpdate: (value) =>
        change((known) => ({ value, of: name, direction: known.of === name ? directionOf(known, value) : '' })),
    }),
  );
  const current = shown.of === name ? shown : { value: null, direction: '' as const };
  return { ...current, status: stream.state?.status ?? 'resyncing', stream };
}

function directionOf(known: Omit<LiveTicker, 'status'>, value: Ticker): LiveTicker['direction'] {
  const before = Number(known.value?.last ?? Number.NaN);
  const after = Number(value.last ?? Number.NaN);
  if (after === before || Number.isNaN(before) || Number.isNaN(after)) return known.direction;
  return after > before ? 'up' : 'down';
}
