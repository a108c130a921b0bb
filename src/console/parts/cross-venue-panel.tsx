import type { JSX } from 'preact';
import type { Ticker } from '../../client/index.ts';
import type { Market } from '../../protocol/market.ts';
import { ABSENT, duration, grouped } from '../format.ts';
import { messageOf } from '../rest.ts';
import { routeHash } from '../route.ts';
import { useFrameState, useStream, useTick } from './hooks.ts';
import { useSiblings } from './markets.ts';
import { Panel } from './panel.tsx';

const AGES_EVERY_MS = 500;

type Quote = Readonly<{ market: Market; ticker: Ticker; live: boolean }>;

/** One asset over all venues, by quote currency: best bid, best ask, and what lies between the best of all. */
export function CrossVenuePanel({ market }: Readonly<{ market: Market }>): JSX.Element {
  const siblings = useSiblings(market.base);
  const [quotes, change] = useFrameState<ReadonlyMap<string, Quote>>(new Map());
  const tell = (quote: Quote): void =>
    change((known) => new Map(known).set(`${quote.market.venue}:${quote.market.symbol}`, quote));
  const markets = (siblings.value ?? []).filter(({ base }) => base === market.base);
  const currencies = [...new Set(markets.map(({ quote }) => quote))].toSorted(
    (left, right) => Number(right === market.quote) - Number(left === market.quote) || (left < right ? -1 : 1),
  );
  return (
    <Panel name="venues" title={`${market.base} across venues`}>
      {siblings.status === 'failed' && (
        <p class="empty" role="alert">
          {messageOf(siblings.error)}.{' '}
          <button type="button" onClick={siblings.reload}>
            Try again
          </button>
        </p>
      )}
      <div class="table-scroll" tabIndex={0} role="region" aria-label={`${market.base} across venues, table`}>
        <table class="venues-table">
          <thead>
            <tr>
              <th scope="col">Market</th>
              <th scope="col" class="number">
                Best bid
              </th>
              <th scope="col" class="number">
                Best ask
              </th>
              <th scope="col" class="number">
                Spread
              </th>
              <th scope="col" class="number">
                Age
              </th>
            </tr>
          </thead>
          {currencies.map((currency) => {
            const listed = markets.filter(({ quote }) => quote === currency);
            const best = bestOf(listed.map((each) => quotes.get(`${each.venue}:${each.symbol}`)));
            return (
              <tbody key={currency}>
                {listed.map((each) => (
                  <VenueRow key={`${each.venue}:${each.symbol}`} market={each} best={best} tell={tell} />
                ))}
                {listed.length > 1 && <BestRow currency={currency} best={best} />}
              </tbody>
            );
          })}
        </table>
      </div>
    </Panel>
  );
}

type Best = Readonly<{ bid: Quote | null; ask: Quote | null }>;

/** Only live quotes compete: a frozen price is nobody's best. */
function bestOf(quotes: readonly (Quote | undefined)[]): Best {
  let bid: Quote | null = null;
  let ask: Quote | null = null;
  for (const quote of quotes) {
    if (!quote?.live) continue;
    const { bid: bidText, ask: askText } = quote.ticker;
    if (bidText !== null && Number(bidText) > Number(bid?.ticker.bid ?? -Infinity)) bid = quote;
    if (askText !== null && Number(askText) < Number(ask?.ticker.ask ?? Infinity)) ask = quote;
  }
  return { bid, ask };
}

type VenueRowProps = Readonly<{ market: Market; best: Best; tell: (quote: Quote) => void }>;

function VenueRow({ market, best, tell }: VenueRowProps): JSX.Element {
  useTick(AGES_EVERY_MS);
  const { venue, symbol } = market;
  const { subscription, state } = useStream(`${venue}:${symbol}`, (client, hooks) => {
    let latest: Ticker | null = null;
    return client.ticker(venue, symbol, {
      ...hooks,
      onState(next) {
        hooks.onState(next);
        if (latest) tell({ market, ticker: latest, live: next.status === 'live' });
      },
      onUpdate(ticker) {
        latest = ticker;
        tell({ market, ticker, live: true });
      },
    });
  });
  const ticker = subscription?.last ?? null;
  const isBest = (side: 'bid' | 'ask'): boolean =>
    best[side]?.market.venue === venue && best[side].market.symbol === symbol;
  const live = state?.status === 'live';
  return (
    <tr data-status={state?.status ?? 'resyncing'}>
      <th scope="row">
        <a href={routeHash('market', venue, symbol)}>
          {venue} <span class="soft">{symbol}</span>
        </a>
      </th>
      <td class={`number ${isBest('bid') ? 'best up' : ''}`}>{grouped(ticker?.bid ?? null)}</td>
      <td class={`number ${isBest('ask') ? 'best down' : ''}`}>{grouped(ticker?.ask ?? null)}</td>
      <td class="number">{basisPoints(ticker?.bid ?? null, ticker?.ask ?? null)}</td>
      <td class="number soft">{live ? duration(subscription?.ageMs() ?? null) : (state?.status ?? ABSENT)}</td>
    </tr>
  );
}

function BestRow({ currency, best }: Readonly<{ currency: string; best: Best }>): JSX.Element {
  const { bid, ask } = best;
  const crossed = bid && ask && Number(bid.ticker.bid) > Number(ask.ticker.ask);
  return (
    <tr class="best-row">
      <th scope="row">best in {currency}</th>
      <td class="number">{bid ? `${grouped(bid.ticker.bid)} ${bid.market.venue}` : ABSENT}</td>
      <td class="number">{ask ? `${grouped(ask.ticker.ask)} ${ask.market.venue}` : ABSENT}</td>
      <td class={`number ${crossed ? 'crossed' : ''}`}>
        {basisPoints(bid?.ticker.bid ?? null, ask?.ticker.ask ?? null)}
      </td>
      <td class="soft">{crossed ? 'crossed' : ''}</td>
    </tr>
  );
}

function basisPoints(bid: string | null, ask: string | null): string {
  if (bid === null || ask === null) return ABSENT;
  return `${(((Number(ask) - Number(bid)) / ((Number(ask) + Number(bid)) / 2)) * 10_000).toFixed(2)} bps`;
}
