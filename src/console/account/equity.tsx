import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import type { EquityPoint, Portfolio, Statistics } from '../../protocol/trading.ts';
import { ABSENT } from '../format.ts';
import { useLoaded, useTick } from '../parts/hooks.ts';
import { Fact } from '../parts/market-head.tsx';
import { Panel } from '../parts/panel.tsx';
import { messageOf } from '../rest.ts';
import { theme } from '../theme.ts';
import { createLineChart } from '../view/line-chart.ts';
import type { LineChart } from '../view/line-chart.ts';
import { useAccount } from './account.ts';
import { useChanges } from './data.ts';
import type { Valuation } from './data.ts';
import { amountText, assetName, percentText, signedText, toneOfAmount } from './money-text.ts';

/** The history is written once a minute or so. */
const HISTORY_EVERY_MS = 60_000;

/** What the account is worth, now and over time, and how it went. */
export function Equity({ valuation }: Readonly<{ valuation: Valuation }>): JSX.Element {
  const { session } = useAccount();
  const { stream, portfolio } = valuation;
  const minute = Math.floor(useTick(HISTORY_EVERY_MS) / HISTORY_EVERY_MS);
  const history = useLoaded(`history ${minute}`, (signal) =>
    session.request<{ points: EquityPoint[] }>('/v1/portfolio/history', { signal }),
  );
  const host = useEquityChart(history.value?.points ?? [], portfolio);
  return (
    <Panel name="equity" title="Equity" {...(stream && { stream })}>
      <dl class="facts padded">
        <Fact
          name="Worth now"
          text={portfolio ? `${amountText(portfolio.equity)} ${assetName(portfolio.currency)}` : ABSENT}
        />
        <Fact
          name="Unrealised"
          text={signedText(portfolio?.unrealizedPnl ?? null)}
          tone={toneOfAmount(portfolio?.unrealizedPnl ?? null)}
        />
        <Fact
          name="Realised"
          text={signedText(portfolio?.realizedPnl ?? null)}
          tone={toneOfAmount(portfolio?.realizedPnl ?? null)}
        />
      </dl>
      {portfolio && portfolio.unvalued.length > 0 && (
        <p class="note">
          Without a fresh price, and so not in the sum: {portfolio.unvalued.map(assetName).join(', ')}.
        </p>
      )}
      <div class="equity-chart" ref={host} role="img" aria-label="Equity over the last day" />
      {history.status === 'failed' && (
        <p class="note" role="alert">
          The history could not be read: {messageOf(history.error)}.
        </p>
      )}
      <StatisticsList />
    </Panel>
  );
}

function useEquityChart(
  points: readonly EquityPoint[],
  portfolio: Portfolio | null,
): { current: HTMLDivElement | null } {
  const host = useRef<HTMLDivElement>(null);
  const chart = useRef<LineChart | null>(null);
  useEffect(() => {
    if (!host.current) return;
    const made = createLineChart(host.current);
    chart.current = made;
    const unfollow = theme.subscribe(() => made.restyle());
    return () => {
      unfollow();
      chart.current = null;
      made.remove();
    };
  }, []);
  const equity = portfolio?.equity ?? null;
  useEffect(() => {
    const known = points.map((point) => ({ at: point.at, value: Number(point.equity) }));
    const now = equity === null || !portfolio ? [] : [{ at: portfolio.at, value: Number(equity) }];
    chart.current?.draw([...known, ...now]);
  }, [points, equity]);
  return host;
}

function StatisticsList(): JSX.Element {
  const { session } = useAccount();
  const changes = useChanges('orders');
  const loaded = useLoaded(`statistics ${changes}`, (signal) =>
    session.request<Statistics>('/v1/portfolio/statistics', { signal }),
  );
  const statistics = loaded.value;
  if (!statistics) {
    return <p class="note">{loaded.status === 'failed' ? messageOf(loaded.error) : 'Loading…'}</p>;
  }
  const currency = assetName(statistics.currency);
  const facts: readonly (readonly [string, string])[] = [
    ['Orders', String(statistics.orders)],
    ['Fills', String(statistics.fills)],
    ['Volume', `${amountText(statistics.volume)} ${currency}`],
    ['Fees paid', `${amountText(statistics.feesPaid)} ${currency}`],
    ['Closing trades', String(statistics.closedTrades)],
    ['Won', percentText(statistics.winRate)],
    ['Average win', amountText(statistics.averageWin)],
    ['Average loss', amountText(statistics.averageLoss)],
    ['Deepest fall', percentText(statistics.maxDrawdown)],
    ['Sharpe', statistics.sharpe === null ? 'needs 2 days' : Number(statistics.sharpe).toFixed(2)],
  ];
  return (
    <dl class="facts padded" data-testid="statistics">
      {facts.map(([name, text]) => (
        <Fact key={name} name={name} text={text} />
      ))}
    </dl>
  );
}
