import { expect, it } from 'vitest';
import type { BusSink, MarketBus } from '../platform/bus.ts';
import { createMemoryBus } from '../platform/bus-memory.ts';
import type { StreamMessage } from '../protocol/messages.ts';
import { watchVenues } from './venue-watch.ts';

const STREAM = 'venue:binance';

function venueMessage(seq: number, status: string): StreamMessage {
  return { stream: STREAM, epoch: 'e', seq, kind: 'update', ingestTs: 1, data: { venue: 'binance', status } };
}

/** The memory bus never loses anything: its sinks are told of a loss as a bus between processes would. */
function losableBus(): { bus: MarketBus; lose: (reason: string) => void } {
  const bus = createMemoryBus();
  const sinks: BusSink[] = [];
  const open = bus.open.bind(bus);
  bus.open = (stream, sink) => {
    sinks.push(sink);
    return open(stream, sink);
  };
  return { bus, lose: (reason) => sinks.forEach((sink) => sink({ type: 'lost', stream: STREAM, reason })) };
}

it('a venue whose feed cannot be heard is not told as live any more, until it is heard again', () => {
  const { bus, lose } = losableBus();
  const state = { status: 'live', since: 1, reason: '' } as const;
  bus.serve({ open: () => ({ position: { epoch: 'e', seq: 0 }, state, snapshot: null }), close: () => undefined });
  const watch = watchVenues(bus, ['binance']);
  expect(watch.of('binance')).toBeUndefined();
  bus.publish(venueMessage(1, 'live'));
  expect(watch.of('binance')).toMatchObject({ venue: { status: 'live' }, lost: null });
  lose('feed gone');
  expect(watch.of('binance')).toMatchObject({ lost: 'feed gone' });
  bus.publish(venueMessage(2, 'stale'));
  expect(watch.of('binance')).toMatchObject({ venue: { status: 'stale' }, lost: null });
  watch.stop();
});
