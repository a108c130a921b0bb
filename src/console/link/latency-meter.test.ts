import { beforeEach, describe, expect, it } from 'vitest';
import type { Envelope } from '../../client/index.ts';
import { createLatencyMeter } from './latency-meter.ts';
import type { LatencyMeter } from './latency-meter.ts';

let now: number;
let meter: LatencyMeter;
beforeEach(() => {
  now = 1_000;
  meter = createLatencyMeter(
    () => now,
    () => now,
  );
});

function envelope(fields: Partial<Envelope>): Envelope {
  return { stream: 's', epoch: 'e', seq: 1, kind: 'delta', ingestTs: 900, sentTs: 950, data: {}, ...fields };
}

describe('latency', () => {
  it('is told per hop, and unknown before the first message', () => {
    expect(meter.spread('gateway')).toEqual({ p50: null, p99: null, samples: 0 });
    meter.arrived(envelope({ exchangeTs: 880 }));
    now += 12;
    meter.drawn();
    expect(['exchange', 'ingest', 'gateway', 'screen'].map((hop) => meter.spread(hop as 'screen').p50)).toEqual([
      20, 50, 50, 12,
    ]);
  });

  it('does not count what tells of the past: snapshots would look like the worst delays', () => {
    meter.arrived(envelope({ kind: 'snapshot', ingestTs: 0 }));
    meter.arrived(envelope({ kind: 'state', ingestTs: 0 }));
    expect(meter.spread('ingest').samples).toBe(0);
  });

  it('forgets old samples, so that a bad minute does not stay for ever and the page does not grow', () => {
    meter.arrived(envelope({ ingestTs: 0, sentTs: 1_000 }));
    for (let index = 0; index < 10_000; index++) meter.arrived(envelope({}));
    expect(meter.spread('ingest')).toEqual({ p50: 50, p99: 50, samples: 2_048 });
  });

  it('holds a bounded number of messages for a page that is hidden', () => {
    for (let index = 0; index < 10_000; index++) meter.arrived(envelope({}));
    meter.drawn();
    expect(meter.spread('screen').samples).toBe(512);
  });
});
