import { createStore } from './store.ts';
import type { Store } from './store.ts';

export const SCREENS = ['market', 'wall', 'trade', 'trust', 'operate', 'account'] as const;
export type Screen = (typeof SCREENS)[number];
/** What the address says after `#`. The market is null until one is named; the page then picks one. */
export type Route = Readonly<{ screen: Screen; venue: string | null; symbol: string | null }>;

/** `#/market/binance/BTC%2FUSDT`; anything else is the market screen. */
export function readRoute(hash: string): Route {
  const [name, venue, symbol] = hash.replace(/^#\/?/, '').split('/');
  const screen = SCREENS.find((each) => each === name) ?? 'market';
  if (!venue || !symbol || !/^[a-z0-9_]{2,32}$/.test(venue)) return { screen, venue: null, symbol: null };
  try {
    return { screen, venue, symbol: decodeURIComponent(symbol) };
  } catch {
    // Somebody cut the address in the middle of an escape.
    return { screen, venue: null, symbol: null };
  }
}

export function routeHash(screen: Screen, venue: string | null, symbol: string | null): string {
  return venue === null || symbol === null ? `#/${screen}` : `#/${screen}/${venue}/${encodeURIComponent(symbol)}`;
}

export function followRoute(): Store<Route> {
  const store = createStore(readRoute(location.hash));
  addEventListener('hashchange', () => store.set(readRoute(location.hash)));
  return store;
}
