import type { JSX } from 'preact';
import { useContext } from 'preact/hooks';
import { AccountContext } from '../account/account.ts';
import { routeHash } from '../route.ts';
import type { Screen } from '../route.ts';
import { useStore } from '../store.ts';
import { theme, toggleTheme } from '../theme.ts';
import type { MarketName } from './markets.ts';

type Tab = Readonly<{ screen: Screen; name: string; adminsOnly?: boolean }>;
const TABS: readonly Tab[] = [
  { screen: 'market', name: 'Market' },
  { screen: 'wall', name: 'Wall' },
  { screen: 'trade', name: 'Trade' },
  { screen: 'trust', name: 'Trust' },
  { screen: 'operate', name: 'Operate', adminsOnly: true },
];

export type TopBarProps = Readonly<{ screen: Screen; market: MarketName | null }>;

export function TopBar({ screen, market }: TopBarProps): JSX.Element {
  const account = useContext(AccountContext);
  const isAdmin = account?.user.roles.includes('admin') ?? false;
  const hrefOf = (to: Screen): string => routeHash(to, market?.venue ?? null, market?.symbol ?? null);
  return (
    <header class="top">
      <a class="brand" href="#/market">
        Tidewire
      </a>
      <nav class="tabs" aria-label="Screens">
        {TABS.filter(({ adminsOnly }) => isAdmin || adminsOnly !== true).map((tab) => (
          <a key={tab.screen} href={hrefOf(tab.screen)} aria-current={tab.screen === screen ? 'page' : undefined}>
            {tab.name}
          </a>
        ))}
      </nav>
      <a class="who" href={hrefOf('account')} aria-current={screen === 'account' ? 'page' : undefined}>
        {account ? account.user.email : 'Log in'}
      </a>
      <ThemeButton />
    </header>
  );
}

function ThemeButton(): JSX.Element {
  const now = useStore(theme);
  const other = now === 'dark' ? 'light' : 'dark';
  return (
    <button type="button" class="quiet" onClick={toggleTheme} aria-label={`Switch to ${other} colours`}>
      {now === 'dark' ? '☀' : '☾'}
    </button>
  );
}

export function SiteFooter(): JSX.Element {
  return (
    <footer class="site">
      <span>Built on these interfaces, and nothing else:</span>
      <a href="/docs">REST</a>
      <a href="/docs/streams">streams</a>
      <a href="/openapi.json">openapi.json</a>
      <a href="/asyncapi.json">asyncapi.json</a>
    </footer>
  );
}
