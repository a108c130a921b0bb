import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { BookPanel } from '../parts/book-panel.tsx';
import { ChartPanel } from '../parts/chart-panel.tsx';
import { CrossVenuePanel } from '../parts/cross-venue-panel.tsx';
import { MarketHead } from '../parts/market-head.tsx';
import { MarketPicker } from '../parts/market-picker.tsx';
import { useMarket } from '../parts/markets.ts';
import type { MarketName } from '../parts/markets.ts';
import { TapePanel } from '../parts/tape-panel.tsx';
import { messageOf } from '../rest.ts';

const TAPE_ROWS = 40;

export function MarketScreen({ name }: Readonly<{ name: MarketName }>): JSX.Element {
  const [picking, setPicking] = useState(false);
  const market = useMarket(name);
  const rules = market.value?.symbol === name.symbol && market.value.venue === name.venue ? market.value : null;
  return (
    <div class="market" data-picking={picking}>
      <aside class="market-list">
        <button type="button" class="picker-toggle" aria-expanded={picking} onClick={() => setPicking(!picking)}>
          {name.symbol} <span class="soft">{name.venue}</span> ▾
        </button>
        <MarketPicker screen="market" market={name} onPicked={() => setPicking(false)} />
      </aside>
      {market.status === 'failed' && !rules && (
        <p class="empty" role="alert">
          {messageOf(market.error)}. Pick another market, or{' '}
          <button type="button" onClick={market.reload}>
            try again
          </button>
        </p>
      )}
      {rules && (
        <>
          <MarketHead market={rules} />
          <ChartPanel market={rules} />
          <BookPanel market={rules} />
          <TapePanel market={rules} rows={TAPE_ROWS} />
          <CrossVenuePanel market={rules} />
        </>
      )}
    </div>
  );
}
