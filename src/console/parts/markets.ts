import type { Market } from '../../protocol/market.ts';
import { RestFailure, requestJson } from '../rest.ts';
import { useLoaded } from './hooks.ts';
import type { Loaded } from './hooks.ts';

/** A page of search results: more than fits on a screen, less than a burden. */
const SEARCH_LIMIT = 60;
/** Markets of one base asset over all venues. */
const SIBLINGS_LIMIT = 100;
/** Each search finds the pairs with dollars and with tethers. */
const LIKED_SEARCHES = ['BTC/USD', 'ETH/USD', 'SOL/USD'];
const LIKED_QUOTES = ['USDT', 'USD'];
/** Venues load their markets in seconds. */
const LISTING_PAUSE_MS = 1_500;

export type MarketName = Readonly<{ venue: string; symbol: string }>;
type MarketsAnswer = Readonly<{ markets: readonly Market[]; nextCursor: string | null }>;

export type MarketSearch = Readonly<{ venue: string; text: string }>;

/** The server lets a page of markets be kept for as long; several parts of the screen ask for the same one. */
const KEPT_MS = 10_000;
const KEPT_LIMIT = 64;
const kept = new Map<string, Readonly<{ at: number; answer: Promise<MarketsAnswer> }>>();

/** Shared by all who ask for the same within a short time, so it cannot be aborted by one of them. */
async function listMarkets(query: URLSearchParams): Promise<readonly Market[]> {
  const path = `/v1/markets?${query}`;
  const known = kept.get(path);
  if (known && Date.now() - known.at < KEPT_MS) return (await known.answer).markets;
  const answer = requestJson<MarketsAnswer>(path);
  kept.delete(path);
  kept.set(path, { at: Date.now(), answer });
  if (kept.size > KEPT_LIMIT) kept.delete(kept.keys().next().value!);
  try {
    return (await answer).markets;
  } catch (error) {
    kept.delete(path);
    throw error;
  }
}

export async function searchMarkets({ venue, text }: MarketSearch): Promise<readonly Market[]> {
  const query = new URLSearchParams({ active: 'true', limit: String(SEARCH_LIMIT) });
  if (venue !== '') query.set('venue', venue);
  if (text.trim() !== '') query.set('q', text.trim());
  return listMarkets(query);
}

/** What the ticker strip shows and the page starts with: the liked symbols of every venue, in the order of liking. */
export async function likedMarkets(): Promise<readonly Market[]> {
  const found = await Promise.all(LIKED_SEARCHES.map((text) => searchMarkets({ venue: '', text })));
  return found.flat().filter(({ symbol }) => LIKED_QUOTES.some((quote) => symbol.endsWith(`/${quote}`)));
}

/** The market to start with: a liked one where there is one, else the first that is listed. */
export async function firstMarket(): Promise<MarketName> {
  const first = (await likedMarkets())[0] ?? (await searchMarkets({ venue: '', text: '' }))[0];
  if (first) return first;
  throw new RestFailure('not_ready', 'No venue has listed its markets yet', 0, LISTING_PAUSE_MS);
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
  return useLoaded(base, async () => {
    const query = new URLSearchParams({ base: base ?? '', active: 'true', limit: String(SIBLINGS_LIMIT) });
    return (await listMarkets(query)).filter((market) => market.type === 'spot');
  });
}
