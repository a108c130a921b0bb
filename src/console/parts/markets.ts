import type { Market } from '../../protocol/market.ts';
import { requestJson } from '../rest.ts';
import { useLoaded } from './hooks.ts';
import type { Loaded } from './hooks.ts';

/** A page of search results: more than fits on a screen, less than a burden. */
const SEARCH_LIMIT = 60;
/** Markets of one base asset over all venues. */
const SIBLINGS_LIMIT = 100;
const FIRST_CHOICES = ['BTC/USDT', 'BTC/USD', 'ETH/USDT', 'ETH/USD'];

export type MarketName = Readonly<{ venue: string; symbol: string }>;
type MarketsAnswer = Readonly<{ markets: readonly Market[]; nextCursor: string | null }>;

export type MarketSearch = Readonly<{ venue: string; text: string }>;

export async function searchMarkets(search: MarketSearch, signal?: AbortSignal): Promise<readonly Market[]> {
  const query = new URLSearchParams({ active: 'true', limit: String(SEARCH_LIMIT) });
  if (search.venue !== '') query.set('venue', search.venue);
  if (search.text.trim() !== '') query.set('q', search.text.trim());
  return (await requestJson<MarketsAnswer>(`/v1/markets?${query}`, signal ? { signal } : {})).markets;
}

/** The market to start with: a liked one where there is one, else the first that is listed. Null where nothing is listed yet. */
export async function firstMarket(signal: AbortSignal): Promise<MarketName | null> {
  const liked = await Promise.all(
    FIRST_CHOICES.map((text) => searchMarkets({ venue: '', text }, signal).then((found) => ({ text, found }))),
  );
  for (const { text, found } of liked) {
    const exact = found.find((market) => market.symbol === text);
    if (exact) return exact;
  }
  return (await searchMarkets({ venue: '', text: '' }, signal))[0] ?? null;
}

function addressOf({ venue, symbol }: MarketName): string {
  return `/v1/markets/${venue}/${encodeURIComponent(symbol)}`;
}

export function restPath(market: MarketName, noun: string): string {
  return `${addressOf(market)}/${noun}`;
}

/** One market's rules. */
export function useMarket(market: MarketName): Loaded<Market> {
  return useLoaded(`${market.venue}:${market.symbol}`, (signal) => requestJson<Market>(addressOf(market), { signal }));
}

/** The spot markets of one base asset, everywhere. Quotes differ on purpose: a dollar is not a tether. */
export function useSiblings(base: string | null): Loaded<readonly Market[]> {
  return useLoaded(base, async (signal) => {
    const query = new URLSearchParams({ base: base ?? '', active: 'true', limit: String(SIBLINGS_LIMIT) });
    const { markets } = await requestJson<MarketsAnswer>(`/v1/markets?${query}`, { signal });
    return markets.filter((market) => market.type === 'spot');
  });
}
