import type { JSX } from 'preact';
import type { Market } from '../../protocol/market.ts';
import { BookPanel } from '../parts/book-panel.tsx';
import { useLoaded } from '../parts/hooks.ts';
import { likedMarkets, searchMarkets, useMarket, useSiblings } from '../parts/markets.ts';
import type { MarketName } from '../parts/markets.ts';
import { TapePanel } from '../parts/tape-panel.tsx';
import { messageOf } from '../rest.ts';

/** Side by side on a wide screen. */
const CELLS = 4;
const LADDER_ROWS = 10;
const TAPE_ROWS = 24;

/** Four markets side by side, book and tape of each: one asset at several places, and others where there are not four. */
export function WallScreen({ name }: Readonly<{ name: MarketName }>): JSX.Element {
  const market = useMarket(name);
  const siblings = useSiblings(market.value?.base ?? null);
  const others = useLoaded('wall', async () => [
    ...(await likedMarkets()),
    ...(await searchMarkets({ venue: '', text: '' })),
  ]);
  const listed = pickCells([...(siblings.value ?? []), ...(others.value ?? [])], name);
  const failed = [market, siblings].find((each) => each.status === 'failed');
  return (
    <div class="wall">
      <h1 class="visually-hidden">Four markets</h1>
      {failed?.status === 'failed' && (
        <p class="empty" role="alert">
          {messageOf(failed.error)}.{' '}
          <button type="button" onClick={failed.reload}>
            Try again
          </button>
        </p>
      )}
      {listed.map((each) => {
        const id = `${each.venue}-${each.symbol.replaceAll(/[^A-Za-z0-9]/g, '')}`;
        return (
          <div class="wall-cell" key={id}>
            <BookPanel market={each} rows={LADDER_ROWS} name={`book-${id}`} title={`${each.symbol} ${each.venue}`} />
            <TapePanel market={each} rows={TAPE_ROWS} name={`tape-${id}`} title="Trades" />
          </div>
        );
      })}
    </div>
  );
}

/** The market that was chosen first, then its neighbours, each once. */
function pickCells(markets: readonly Market[], { venue, symbol }: MarketName): readonly Market[] {
  const chosen = (market: Market): number => Number(market.venue === venue && market.symbol === symbol);
  const unique = new Map(markets.map((market) => [`${market.venue}:${market.symbol}`, market]));
  return [...unique.values()].toSorted((left, right) => chosen(right) - chosen(left)).slice(0, CELLS);
}
