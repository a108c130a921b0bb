import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';

/**
 * One registry for the process, made in the composition root and handed down. Names carry the unit (`_total`, `_ms`, `_bytes`).
 * Asking twice for one name answers the same metric, so that two instances of a part can share it.
 */
export type Labels = Readonly<Record<string, string>>;
export type Metrics = Readonly<{
  counter(name: string, help: string, labelNames?: readonly string[]): { inc(labels: Labels, by?: number): void };
  gauge(
    name: string,
    help: string,
    labelNames?: readonly string[],
  ): { set(labels: Labels, value: number): void; remove(labels: Labels): void };
  /** `collect` runs at each scrape: for figures that are cheaper to read than to keep. */
  collectedGauge(
    name: string,
    help: string,
    labelNames: readonly string[],
    collect: () => Iterable<readonly [Labels, number]>,
  ): void;
  /** The same for counts that rise too often to go through the library each time; `collect` answers totals. */
  collectedCounter(
    name: string,
    help: string,
    labelNames: readonly string[],
    collect: () => Iterable<readonly [Labels, number]>,
  ): void;
  histogram(
    name: string,
    help: string,
    buckets: readonly number[],
    labelNames?: readonly string[],
  ): { observe(labels: Labels, value: number): void };
  contentType: string;
  render(): Promise<string>;
}>;

/**
 * Milliseconds between two looks at the event loop's lag, and the least that the lag metrics can show. The library's own 10 wake an
 * idle process a hundred times a second, which costs 8 ms of CPU time a second in each process (measured on a virtual machine).
 */
const LAG_RESOLUTION_MS = 50;

export function createMetrics(options: { processMetrics: boolean }): Metrics {
  const registry = new Registry();
  if (options.processMetrics) {
    collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LAG_RESOLUTION_MS });
  }
  const registers = [registry];
  return {
    counter(name, help, labelNames = []) {
      const counter =
        (registry.getSingleMetric(name) as Counter | undefined) ??
        new Counter({ name, help, labelNames: [...labelNames], registers });
      return { inc: (labels, by = 1) => counter.inc(labels, by) };
    },
    gauge(name, help, labelNames = []) {
      const gauge =
        (registry.getSingleMetric(name) as Gauge | undefined) ??
        new Gauge({ name, help, labelNames: [...labelNames], registers });
      return { set: (labels, value) => gauge.set(labels, value), remove: (labels) => gauge.remove(labels) };
    },
    collectedGauge(name, help, labelNames, collect) {
      // The gauge itself is reached through `this`, as prom-client's collect hook wants it.
      new Gauge({
        name,
        help,
        labelNames: [...labelNames],
        registers,
        collect() {
          this.reset();
          for (const [labels, value] of collect()) this.set(labels, value);
        },
      });
    },
    collectedCounter(name, help, labelNames, collect) {
      new Counter({
        name,
        help,
        labelNames: [...labelNames],
        registers,
        collect() {
          this.reset();
          for (const [labels, value] of collect()) this.inc(labels, value);
        },
      });
    },
    histogram(name, help, buckets, labelNames = []) {
      const histogram =
        (registry.getSingleMetric(name) as Histogram | undefined) ??
        new Histogram({ name, help, buckets: [...buckets], labelNames: [...labelNames], registers });
      return { observe: (labels, value) => histogram.observe(labels, value) };
    },
    contentType: registry.contentType,
    render: () => registry.metrics(),
  };
}
