import type { JSX } from 'preact';
import { AccountContext, SessionContext, useAccountLink } from './account/account.ts';
import type { Session } from './account/session.ts';
import { OfflineBanner } from './parts/banner.tsx';
import { LinkContext, useLoaded } from './parts/hooks.ts';
import { firstMarket } from './parts/markets.ts';
import type { MarketName } from './parts/markets.ts';
import { TickerStrip } from './parts/ticker-strip.tsx';
import { SiteFooter, TopBar } from './parts/top-bar.tsx';
import { VenuesContext, useVenueList } from './parts/venues.ts';
import type { Link } from './link/link.ts';
import { messageOf } from './rest.ts';
import type { Route, Screen } from './route.ts';
import { AccountScreen } from './screens/account-screen.tsx';
import { MarketScreen } from './screens/market-screen.tsx';
import { OperateScreen } from './screens/operate-screen.tsx';
import { TradeScreen } from './screens/trade-screen.tsx';
import { TrustScreen } from './screens/trust-screen.tsx';
import { WallScreen } from './screens/wall-screen.tsx';
import { useStore } from './store.ts';
import type { Store } from './store.ts';

export type AppProps = Readonly<{ link: Link; session: Session; route: Store<Route> }>;

export function App({ link, session, route }: AppProps): JSX.Element {
  const at = useStore(route);
  const { venues } = useVenueList(link);
  const account = useAccountLink(session, link);
  const first = useLoaded('first', firstMarket);
  const named = at.venue !== null && at.symbol !== null ? { venue: at.venue, symbol: at.symbol } : null;
  const market = named ?? first.value;
  return (
    <LinkContext.Provider value={link}>
      <VenuesContext.Provider value={venues}>
        <SessionContext.Provider value={session}>
          <AccountContext.Provider value={account}>
            <a class="skip" href="#main" onClick={skipToMain}>
              Skip to content
            </a>
            <TopBar screen={at.screen} market={market} />
            <OfflineBanner />
            <TickerStrip />
            <main id="main" tabIndex={-1}>
              {market && <ScreenOf screen={at.screen} market={market} />}
              {!market && first.status === 'failed' && (
                <p class="empty" role="alert">
                  {messageOf(first.error)}.{' '}
                  <button type="button" onClick={first.reload}>
                    Look again
                  </button>
                </p>
              )}
            </main>
            <SiteFooter />
          </AccountContext.Provider>
        </SessionContext.Provider>
      </VenuesContext.Provider>
    </LinkContext.Provider>
  );
}

function ScreenOf({ screen, market }: Readonly<{ screen: Screen; market: MarketName }>): JSX.Element {
  switch (screen) {
    case 'wall':
      return <WallScreen name={market} />;
    case 'trust':
      return <TrustScreen name={market} />;
    case 'trade':
      return <TradeScreen name={market} />;
    case 'account':
      return <AccountScreen />;
    case 'operate':
      return <OperateScreen />;
    case 'market':
      return <MarketScreen name={market} />;
  }
}

/** The address after `#` is the screen's, so the ordinary jump to an anchor cannot be used. */
function skipToMain(event: Event): void {
  event.preventDefault();
  document.getElementById('main')?.focus();
}
