import { AreaSeries, ColorType, createChart } from 'lightweight-charts';
import type { UTCTimestamp } from 'lightweight-charts';

export type LinePoint = Readonly<{ at: number; value: number }>;
export interface LineChart {
  draw(points: readonly LinePoint[]): void;
  restyle(): void;
  remove(): void;
}

/** A value over time. `at` is Unix ms; of several points of one second the last is drawn. */
export function createLineChart(host: HTMLElement): LineChart {
  const chart = createChart(host, { autoSize: true, layout: { attributionLogo: false } });
  const line = chart.addSeries(AreaSeries, {
    lineWidth: 2,
    priceFormat: { type: 'price', precision: 2, minMove: 0.01 },
  });
  const restyle = (): void => {
    const style = getComputedStyle(host);
    const color = (name: string): string => style.getPropertyValue(name).trim();
    chart.applyOptions({
      layout: { background: { type: ColorType.Solid, color: 'transparent' }, textColor: color('--soft') },
      grid: { vertLines: { color: color('--line') }, horzLines: { color: color('--line') } },
      rightPriceScale: { borderColor: color('--line') },
      timeScale: { borderColor: color('--line'), timeVisible: true },
    });
    line.applyOptions({ lineColor: color('--accent'), topColor: color('--up-bar'), bottomColor: 'transparent' });
  };
  restyle();
  return {
    draw(points) {
      const seconds = new Map(points.map(({ at, value }) => [Math.floor(at / 1_000), value]));
      const sorted = [...seconds].toSorted(([left], [right]) => left - right);
      line.setData(sorted.map(([time, value]) => ({ time: time as UTCTimestamp, value })));
      chart.timeScale().fitContent();
    },
    restyle,
    remove: () => chart.remove(),
  };
}
