import type { Envelope } from '../../client/index.ts';

/** Samples kept per hop: a minute of a busy screen, and a sort of it is far below a millisecond. */
const SAMPLES_LIMIT = 2_048;
/** Messages that wait for the frame that shows them; a hidden page draws none. */
const UNDRAWN_LIMIT = 512;

export const HOPS = ['exchange', 'ingest', 'gateway', 'screen'] as const;
/** `exchange`: to our feed. `ingest`: through sequencer and hub to the socket. `gateway`: to this page. `screen`: to the frame that shows it. */
export type Hop = (typeof HOPS)[number];
/** Milliseconds; null before the first sample. */
export type Spread = Readonly<{ p50: number | null; p99: number | null; samples: number }>;

export interface LatencyMeter {
  arrived(envelope: Envelope): void;
  drawn(): void;
  spread(hop: Hop): Spread;
  clear(): void;
}

/**
 * Where a message's time went. The first two hops are measured by the server's clock, the last by this page's; the third
 * compares the two clocks and is as true as they agree. Snapshots are left out: they tell of the past by design.
 */
export function createLatencyMeter(now: () => number, precise: () => number): LatencyMeter {
  const rings: Record<Hop, SampleRing> = {
    exchange: new SampleRing(),
    ingest: new SampleRing(),
    gateway: new SampleRing(),
    screen: new SampleRing(),
  };
  let undrawn: number[] = [];
  return {
    arrived(envelope) {
      if (envelope.kind !== 'delta' && envelope.kind !== 'update') return;
      const { exchangeTs, ingestTs, sentTs } = envelope;
      if (exchangeTs !== undefined) rings.exchange.add(ingestTs - exchangeTs);
      rings.ingest.add(sentTs - ingestTs);
      rings.gateway.add(now() - sentTs);
      if (undrawn.length < UNDRAWN_LIMIT) undrawn.push(precise());
    },
    drawn() {
      const at = precise();
      for (const arrivedAt of undrawn) rings.screen.add(at - arrivedAt);
      undrawn = [];
    },
    spread: (hop) => rings[hop].spread(),
    clear() {
      for (const hop of HOPS) rings[hop].clear();
      undrawn = [];
    },
  };
}

class SampleRing {
  readonly #samples = new Float64Array(SAMPLES_LIMIT);
  #added = 0;

  add(sample: number): void {
    this.#samples[this.#added % SAMPLES_LIMIT] = sample;
    this.#added += 1;
  }

  clear(): void {
    this.#added = 0;
  }

  spread(): Spread {
    const samples = Math.min(this.#added, SAMPLES_LIMIT);
    if (samples === 0) return { p50: null, p99: null, samples };
    const sorted = this.#samples.slice(0, samples).toSorted();
    const at = (share: number): number => sorted[Math.min(samples - 1, Math.floor(samples * share))]!;
    return { p50: at(0.5), p99: at(0.99), samples };
  }
}
