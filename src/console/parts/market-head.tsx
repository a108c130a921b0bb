import type { JSX } from 'preact';
import type { Market } from '../../protocol/market.ts';
import { ABSENT, changePercent, compact, grouped, toneOf } from '../format.ts';
import { useTicker } from './ticker-strip.tsx';
import { useVenues } from './venues.ts';

/** The market's name, its last price and what its venue says of the last 24 hours. */
export function MarketHead({ market }: Readonly<{ market: Market }>): JSX.Element {
  const { value, status, direction } = useTicker(market);
  const source = useVenues().get(market.venue)?.source;
  const change = changePercent(value?.open ?? null, value?.last ?? null);
  return (
    <section class="market-head" aria-label="Market" data-status={status}>
      <h1>
        {market.symbol} <small class="soft">{market.venue}</small>
        {source && <span class={`source ${source}`}>{source}</span>}
      </h1>
      <p class={`last ${direction}`} data-testid="last-price">
        {grouped(value?.last ?? null)}
      </p>
      <dl class="facts">
        <Fact name="24 h change" text={change ?? ABSENT} tone={toneOf(change)} />
        <Fact name="24 h high" text={grouped(value?.high ?? null)} />
        <Fact name="24 h low" text={grouped(value?.low ?? null)} />
        <Fact name={`24 h volume, ${market.base}`} text={compact(value?.baseVolume ?? null)} />
      </dl>
    </section>
  );
}

export function Fact({ name, text, tone = '' }: Readonly<{ name: string; text: string; tone?: string }>): JSX.Element {
  return (
    <div class="fact">
      <dt>{name}</dt>
      <dd class={tone}>{text}</dd>
    </div>
  );
}
