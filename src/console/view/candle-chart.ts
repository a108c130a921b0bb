import { CandlestickSeries, ColorType, CrosshairMode, HistogramSeries, createChart } from 'lightweight-charts';
import type { CandlestickData, HistogramData, IChartApi, UTCTimestamp } from 'lightweight-charts';
import type { Candle } from '../../client/index.ts';

/** Volume takes the lowest part of the chart. */
const VOLUME_TOP_SHARE = 0.8;
const PRICE_MARGINS = { top: 0.06, bottom: 0.24 };
/** Of the page's own size. */
const FONT_SHARE = 0.8;
/** Past this many the chart forgets the oldest, like the client's own window. */
const CANDLES_LIMIT = 1_000;

export interface CandleChart {
  /** Corrections and new candles, in any order. */
  take(candles: readonly Candle[]): void;
  /** Everything that was taken since the last drawing. */
  draw(): void;
  restyle(): void;
  remove(): void;
}

type Palette = Readonly<{ text: string; line: string; up: string; down: string; upSoft: string; downSoft: string }>;

/** Candles with volume. Times are UTC; prices become numbers here, where they only become pixels. */
export function createCandleChart(host: HTMLElement, priceDecimals: number): CandleChart {
  // The logo of the library would bring a style element of its own, which the page's policy forbids; the panel names TradingView.
  const chart = createChart(host, { autoSize: true, layout: { attributionLogo: false } });
  const priceFormat = { type: 'price', precision: priceDecimals, minMove: 10 ** -priceDecimals } as const;
  const prices = chart.addSeries(CandlestickSeries, { priceFormat });
  const volumes = chart.addSeries(HistogramSeries, { priceFormat: { type: 'volume' }, priceScaleId: '' });
  volumes.priceScale().applyOptions({ scaleMargins: { top: VOLUME_TOP_SHARE, bottom: 0 } });
  const known = new Map<number, Candle>();
  let waiting: Candle[] = [];
  let palette = readPalette(host);
  let fitted = false;
  const drawAll = (): void => {
    const all = [...known.values()].toSorted((left, right) => left.ts - right.ts);
    prices.setData(all.map(barOf));
    volumes.setData(all.map((candle) => volumeOf(candle, palette)));
    if (!fitted && all.length > 1) {
      fitted = true;
      chart.timeScale().fitContent();
    }
  };
  const restyle = (): void => {
    palette = readPalette(host);
    applyPalette(chart, palette);
    prices.applyOptions({ upColor: palette.up, downColor: palette.down, borderVisible: false });
    prices.applyOptions({ wickUpColor: palette.up, wickDownColor: palette.down });
    drawAll();
  };
  restyle();
  return {
    take: (candles) => void waiting.push(...candles),
    draw() {
      const fresh = newest(waiting, known);
      waiting = [];
      const last = Math.max(-Infinity, ...known.keys());
      for (const candle of fresh) known.set(candle.ts, candle);
      const ordinary = fresh.length === 1 && fresh[0]!.ts >= last;
      if (known.size > CANDLES_LIMIT) forgetOldest(known);
      if (!ordinary) return fresh.length === 0 ? undefined : drawAll();
      prices.update(barOf(fresh[0]!));
      volumes.update(volumeOf(fresh[0]!, palette));
    },
    restyle,
    remove: () => chart.remove(),
  };
}

/** Each candle once, in its latest revision, unless a later one is known already. */
function newest(candles: readonly Candle[], known: ReadonlyMap<number, Candle>): Candle[] {
  const fresh = new Map<number, Candle>();
  for (const candle of candles) {
    const there = fresh.get(candle.ts) ?? known.get(candle.ts);
    if (!there || candle.rev >= there.rev) fresh.set(candle.ts, candle);
  }
  return [...fresh.values()];
}

function forgetOldest(known: Map<number, Candle>): void {
  const oldest = [...known.keys()].toSorted((left, right) => left - right).slice(0, known.size - CANDLES_LIMIT);
  for (const ts of oldest) known.delete(ts);
}

function barOf({ ts, open, high, low, close }: Candle): CandlestickData {
  const time = (ts / 1000) as UTCTimestamp;
  return { time, open: Number(open), high: Number(high), low: Number(low), close: Number(close) };
}

function volumeOf({ ts, open, close, volume }: Candle, palette: Palette): HistogramData {
  const color = Number(close) >= Number(open) ? palette.upSoft : palette.downSoft;
  return { time: (ts / 1000) as UTCTimestamp, value: Number(volume), color };
}

function readPalette(host: HTMLElement): Palette {
  const style = getComputedStyle(host);
  const color = (name: string): string => style.getPropertyValue(name).trim();
  return {
    text: color('--soft'),
    line: color('--line'),
    up: color('--up'),
    down: color('--down'),
    upSoft: color('--up-bar'),
    downSoft: color('--down-bar'),
  };
}

function applyPalette(chart: IChartApi, { text, line }: Palette): void {
  const fontSize = Math.round(Number.parseFloat(getComputedStyle(document.documentElement).fontSize) * FONT_SHARE);
  chart.applyOptions({
    layout: { background: { type: ColorType.Solid, color: 'transparent' }, textColor: text, fontSize },
    grid: { vertLines: { color: line }, horzLines: { color: line } },
    crosshair: { mode: CrosshairMode.Normal },
    rightPriceScale: { borderColor: line, scaleMargins: PRICE_MARGINS },
    timeScale: { borderColor: line, timeVisible: true, secondsVisible: false },
  });
}
