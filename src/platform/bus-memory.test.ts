import { expect, it } from 'vitest';
import { CountingSource, Follower, describeMarketBus } from '../testing/bus-contract.ts';
import { createMemoryBus } from './bus-memory.ts';

const STREAM = 'ticker:alpha:BTC/USDT';

describeMarketBus('in memory', async () => {
  const bus = createMemoryBus({ onError: () => undefined });
  await bus.start();
  return { feed: bus, gateway: bus, stop: () => bus.stop() };
});

it('delivers the head before open returns, so that joining and the snapshot are one step', () => {
  const bus = createMemoryBus();
  bus.serve(new CountingSource(bus));
  const follower = new Follower();
  bus.open(STREAM, follower.sink);
  expect(follower.heads).toBe(1);
});

it('reports the error of a sink with its stream', () => {
  const errors: unknown[] = [];
  const bus = createMemoryBus({ onError: (error, stream) => errors.push([String(error), stream]) });
  bus.serve(new CountingSource(bus));
  bus.open(STREAM, () => {
    throw new Error('broken');
  });
  expect(errors).toEqual([['Error: broken', STREAM]]);
});

it('gives every sink the same order when a sink causes a publication', () => {
  const bus = createMemoryBus();
  const source = new CountingSource(bus);
  bus.serve(source);
  let echoes = 0;
  bus.open(STREAM, (delivery) => {
    if (delivery.type === 'message' && echoes++ < 5) source.publish(STREAM);
  });
  const follower = new Follower();
  bus.open(STREAM, follower.sink);
  source.publish(STREAM);
  expect(follower).toMatchObject({ violations: [], messages: 6 });
});

it('does not repeat to a sink that joins what its head has already and others still wait for', () => {
  const bus = createMemoryBus();
  const source = new CountingSource(bus);
  bus.serve(source);
  const late = new Follower();
  let joined = false;
  bus.open(STREAM, (delivery) => {
    if (delivery.type !== 'message' || joined) return;
    joined = true;
    source.publish(STREAM);
    bus.open(STREAM, late.sink);
  });
  source.publish(STREAM);
  expect(late).toMatchObject({ violations: [], messages: 0, position: { seq: 2 } });
  source.publish(STREAM);
  expect(late).toMatchObject({ violations: [], messages: 1, position: { seq: 3 } });
});
