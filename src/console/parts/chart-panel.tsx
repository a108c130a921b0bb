import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Candle, CandleSeries, Timeframe } from '../../client/index.ts';
import type { Market } from '../../protocol/market.ts';
import { messageOf, requestJson } from '../rest.ts';
import { theme } from '../theme.ts';
import { createCandleChart } from '../view/candle-chart.ts';
import type { CandleChart } from '../view/candle-chart.ts';
import { useLink, useLoaded, useStream } from './hooks.ts';
import { restPath } from './markets.ts';
import { Panel } from './panel.tsx';

const TIMEFRAMES = ['1m', '5m', '15m', '1h', '4h', '1d'] as const satisfies readonly Timeframe[];
/** A candle that moves faster than this is not seen to move faster, and a chart is the dearest thing on the page to draw. */
const DRAW_EVERY_MS = 200;

type CandlesReading = Readonly<{ data: Readonly<{ candles: readonly Candle[]; origin: CandleSeries['origin'] }> }>;

/** Candles and volume: history over REST, which is there first, then the live stream. */
export function ChartPanel({ market }: Readonly<{ market: Market }>): JSX.Element {
  const [timeframe, setTimeframe] = useState<Timeframe>('1m');
  const { host, stream, history } = useChart(market, timeframe);
  const origin = stream.subscription?.last?.origin ?? history.value?.data.origin;
  return (
    <Panel
      name="chart"
      title={`${market.symbol} candles`}
      stream={stream}
      actions={
        <div class="segments" role="group" aria-label="Timeframe">
          {TIMEFRAMES.map((each) => (
            <button key={each} type="button" aria-pressed={each === timeframe} onClick={() => setTimeframe(each)}>
              {each}
            </button>
          ))}
        </div>
      }
    >
      <div
        class="chart-host"
        ref={host}
        role="img"
        aria-label={`Candlestick chart of ${market.symbol} at ${market.venue}`}
      />
      {history.status === 'failed' && stream.subscription?.last === null && (
        <p class="empty" role="alert">
          {messageOf(history.error)}. The live candles will appear as they come.
        </p>
      )}
      <p class="credit">
        {origin === 'trades' && <span>built from trades · </span>}
        UTC · charts by{' '}
        <a href="https://www.tradingview.com/" target="_blank" rel="noreferrer noopener">
          TradingView
        </a>
      </p>
    </Panel>
  );
}

function useChart(market: Market, timeframe: Timeframe) {
  const { venue, symbol, priceDecimals } = market;
  const { frames } = useLink();
  const host = useRef<HTMLDivElement>(null);
  const chart = useRef<CandleChart | null>(null);
  const name = `${venue}:${symbol}:${timeframe}`;
  const drawing = useRef<{ take(candles: readonly Candle[]): void } | null>(null);
  useEffect(() => {
    if (!host.current) return;
    const made = createCandleChart(host.current, priceDecimals);
    chart.current = made;
    const draw = (): void => made.draw();
    let timer: ReturnType<typeof setTimeout> | undefined;
    drawing.current = {
      take(candles) {
        made.take(candles);
        timer ??= setTimeout(() => {
          timer = undefined;
          frames.mark(draw);
        }, DRAW_EVERY_MS);
      },
    };
    const unfollow = theme.subscribe(() => made.restyle());
    return () => {
      unfollow();
      clearTimeout(timer);
      frames.forget(draw);
      drawing.current = null;
      chart.current = null;
      made.remove();
    };
  }, [name, priceDecimals, frames]);
  const history = useLoaded(name, async (signal) => {
    const reading = await requestJson<CandlesReading>(`${restPath(market, 'candles')}?timeframe=${timeframe}`, {
      signal,
    });
    drawing.current?.take(reading.data.candles);
    return reading;
  });
  const stream = useStream(name, (client, hooks) =>
    client.candles(venue, symbol, { ...hooks, timeframe, onUpdate: ({ changed }) => drawing.current?.take(changed) }),
  );
  return { host, stream, history };
}
