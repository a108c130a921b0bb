import fc from 'fast-check';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { HubRig } from './hub-rig-contract.ts';
import { RigClient, fakeTime, pass, settle, startHub } from './hub-rig-contract.ts';
import { LIVE } from './scripted-market-contract.ts';

const BOOK = 'book:sandbox:BTC/USDT:25:100ms';
const TRADES = 'trades:sandbox:BTC/USDT';
const TICKER = 'ticker:sandbox:BTC/USDT';

let rig: HubRig;
beforeEach(fakeTime);
afterEach(() => {
  rig.stop();
  vi.useRealTimers();
});

test('a burst that the socket takes at once is not slowness', async () => {
  rig = startHub();
  rig.market.begin(TRADES);
  const client = new RigClient(rig.hub);
  client.subscribe(TRADES);
  await settle();
  for (let count = 0; count < 1_000; count++) rig.market.trade(TRADES);
  await settle();
  await pass(2_000);
  expect(client.events('slow')).toEqual([]);
  expect(client.stream(TRADES).trades.size).toBe(1_000);
  expect(client.problems).toEqual([]);
});

test('a peer that stops reading costs no more than the window and the slow limit, and is told before it is closed', async () => {
  rig = startHub();
  rig.market.begin(TICKER);
  const client = new RigClient(rig.hub);
  client.subscribe(TICKER);
  await settle();
  client.wire.stall();
  const data = { pad: 'x'.repeat(2_000) };
  for (let second = 0; second < 9; second++) {
    for (let count = 0; count < 500; count++) rig.market.update(TICKER, data);
    await pass(1_000);
    expect(client.wire.heldBytes).toBeLessThan(70_000);
  }
  expect(client.wire.closes).toEqual([]);
  await pass(2_000);
  expect(client.wire.closes).toEqual([{ code: 3008, reason: 'slow_consumer' }]);
  expect(client.wire.terminated).toBe(false);
  await pass(1_000);
  expect(client.wire.terminated).toBe(true);
  client.wire.resume();
  expect(client.events('closing')).toEqual([{ code: 3008, reason: 'slow_consumer', reconnect: true }]);
  const metrics = await rig.metrics.render();
  expect(metrics).toMatch(/gateway_messages_withheld_total\{door="plain",how="conflated"\} [1-9]/);
  expect(metrics).toMatch(/gateway_conflations_total\{reason="bytes"\} 1/);
});

test('a slow reader gets fresh snapshots at a slower pace, says what they stand for, and goes back to every message', async () => {
  rig = startHub({ limits: { slowQueuedFrames: 100 } });
  const { market, hub } = rig;
  market.begin(BOOK);
  market.begin(TRADES);
  const client = new RigClient(hub);
  client.subscribe(BOOK, TRADES);
  await settle();
  client.wire.stall();
  const publish = (count: number): void => {
    for (let turn = 0; turn < count; turn++) {
      market.delta(BOOK, [[String(1 + (turn % 50)), String(turn + 1)]], []);
      market.trade(TRADES);
    }
  };
  publish(200);
  await pass(0);
  market.state(TRADES, { status: 'stale', since: 9, reason: 'silent' });
  client.wire.resume();
  await pass(100);
  expect(client.events('slow')).toMatchObject([{ action: 'conflating', queuedFrames: expect.any(Number) }]);
  const [conflated] = client.stream(BOOK).conflated;
  expect(conflated!.to).toBe(202);
  expect(conflated!.from).toBeGreaterThan(2);
  expect(client.stream(TRADES).gaps).toMatchObject([{ to: 203, reason: 'slow_consumer' }]);
  expect(client.stream(TRADES).state).toMatchObject({ status: 'stale' });
  expect(client.stream(BOOK).book).toMatchObject(market.line(BOOK).book);
  const before = client.pushes(BOOK).length;
  for (let tenth = 0; tenth < 20; tenth++) {
    publish(5);
    await pass(100);
  }
  expect(client.pushes(BOOK).length - before).toBeLessThanOrEqual(3);
  await pass(6_000);
  expect(client.events('slow').at(-1)).toMatchObject({ action: 'recovered' });
  market.state(TRADES, LIVE);
  publish(1);
  await settle();
  expect(client.stream(BOOK).position).toMatchObject({ seq: market.line(BOOK).seq });
  expect(client.pushes(BOOK).at(-1)).toMatch(/^delta/);
  expect(client.problems).toEqual([]);
});

test('a stream that was left while its snapshot waited for room is not sent after all', async () => {
  rig = startHub({ limits: { slowQueuedFrames: 4 } });
  const { market, hub } = rig;
  market.begin(TICKER);
  market.begin(BOOK);
  const client = new RigClient(hub);
  client.subscribe(TICKER);
  await settle();
  client.wire.stall();
  for (let count = 0; count < 300; count++) market.update(TICKER, { last: String(count) });
  client.subscribe(BOOK);
  await pass(0);
  client.send('unsubscribe', { streams: [BOOK, TICKER] });
  client.wire.resume();
  await pass(2_000);
  expect(client.pushes(BOOK)).toEqual([]);
  expect(client.stream(TICKER).conflated).toEqual([]);
});

test('a connection that has not taken its last round of snapshots is not given another', async () => {
  rig = startHub({ limits: { slowQueuedFrames: 4, heartbeatMs: 60_000 } });
  const { market, hub } = rig;
  for (const name of [TICKER, BOOK, TRADES]) market.begin(name);
  const client = new RigClient(hub);
  client.subscribe(TICKER, BOOK, TRADES);
  // Past the connection's heartbeat.
  await pass(1_000);
  client.wire.stall();
  for (let count = 0; count < 100; count++) market.update(TICKER, { last: String(count) });
  await pass(0);
  client.wire.resume();
  client.wire.stall();
  await settle();
  const held = client.wire.heldWrites;
  expect(held).toBe(1);
  for (let second = 0; second < 3; second++) {
    market.update(TICKER, { last: 'x' });
    market.trade(TRADES);
    await pass(1_100);
  }
  expect(client.wire.heldWrites).toBe(held);
});

test('a stream that loses its source while a client waits for its base tells that where the client stands, not where it would have been', async () => {
  rig = startHub();
  const { market, hub } = rig;
  const client = new RigClient(hub);
  client.wire.stall();
  await settle();
  client.subscribe(TICKER);
  await settle();
  market.begin(TICKER);
  market.skip(TICKER);
  market.update(TICKER, { last: '9' });
  await settle();
  client.wire.resume();
  await pass(3_000);
  expect(client.problems).toEqual([]);
  expect(client.stream(TICKER).position).toMatchObject({ seq: market.line(TICKER).seq });
});

test('replies are not thrown away with the market data, and come in order', async () => {
  rig = startHub({ limits: { slowQueuedFrames: 20 } });
  const { market, hub } = rig;
  market.begin(TICKER);
  const client = new RigClient(hub);
  client.subscribe(TICKER);
  await settle();
  client.wire.stall();
  for (let count = 0; count < 100; count++) market.update(TICKER, { last: String(count) });
  const ids = [client.send('ping'), client.send('list'), client.send('ping')];
  await pass(0);
  client.wire.resume();
  await settle();
  const replies = client.log.flatMap((entry) => (entry.type === 'reply' ? [entry.id] : []));
  expect(replies.slice(-3)).toEqual(ids);
});

test('requests whose answers are never read end the connection before they fill the memory', async () => {
  rig = startHub();
  const client = new RigClient(rig.hub);
  const names = Array.from({ length: 100 }, (_, index) => `nonsense${index}`.repeat(20));
  client.wire.stall();
  for (let count = 0; count < 60 && client.wire.closes.length === 0; count++) {
    client.subscribe(...names);
    await pass(50);
  }
  expect(client.wire.closes).toEqual([{ code: 3008, reason: 'slow_consumer' }]);
});

type Step =
  | { do: 'publish'; stream: string; count: number }
  | { do: 'begin' | 'doubt' | 'skip' | 'leave' | 'join' | 'rejoin'; stream: string; client: number }
  | { do: 'stall' | 'resume' | 'reconnect'; client: number }
  | { do: 'release'; client: number; frames: number }
  | { do: 'pass'; ms: number };

const STREAMS = [BOOK, TRADES, TICKER];
const stream = fc.constantFrom(...STREAMS);
const client = fc.integer({ min: 0, max: 1 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('publish' as const), stream, count: fc.integer({ min: 1, max: 40 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'begin' as const,
        'doubt' as const,
        'skip' as const,
        'leave' as const,
        'join' as const,
        'rejoin' as const,
      ),
      stream,
      client,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constantFrom('stall' as const, 'resume' as const, 'reconnect' as const), client }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('release' as const), client, frames: fc.integer({ min: 1, max: 30 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(0, 10, 300, 1_100, 4_000) }),
  },
);

/** A client that comes back with its positions, as the protocol asks. */
function reconnect(hub: HubRig['hub'], old: RigClient): RigClient {
  old.connection.onClosed(1006);
  const next = new RigClient(hub);
  next.problems.push(...old.problems);
  const held = [...old.streams].filter(([, known]) => known.position !== null);
  for (const [name, known] of held) next.streams.set(name, known);
  if (held.length === 0) return next;
  next.subscribe(
    ...held.map(([name, known]) => {
      const resumable = known.asked === null && !known.fresh && (name !== BOOK || known.book !== null);
      return resumable ? { stream: name, since: { ...known.position! } } : name;
    }),
  );
  return next;
}

async function act(hub: HubRig['hub'], market: HubRig['market'], clients: RigClient[], now: Step): Promise<void> {
  switch (now.do) {
    case 'publish':
      for (let count = 0; count < now.count; count++) publishOne(market, now.stream);
      return;
    case 'begin':
      return market.begin(now.stream);
    case 'doubt':
      return market.state(now.stream, { status: 'stale', since: Date.now(), reason: 'silent' });
    case 'skip':
      market.skip(now.stream);
      return publishOne(market, now.stream);
    case 'join':
      return void clients[now.client]!.subscribe(now.stream);
    case 'rejoin': {
      const known = clients[now.client]!.streams.get(now.stream);
      if (known?.position && !known.fresh && known.asked === null && (now.stream !== BOOK || known.book)) {
        // Only what has surely arrived may be named, as a real client does.
        if (clients[now.client]!.wire.heldWrites === 0) {
          clients[now.client]!.subscribe({ stream: now.stream, since: { ...known.position } });
        }
      }
      return;
    }
    case 'leave':
      clients[now.client]!.send('unsubscribe', { streams: [now.stream] });
      return;
    case 'stall':
      return clients[now.client]!.wire.stall();
    case 'resume':
      return clients[now.client]!.wire.resume();
    case 'release':
      return clients[now.client]!.wire.release(now.frames);
    case 'reconnect':
      clients[now.client] = reconnect(hub, clients[now.client]!);
      return;
    case 'pass':
      await vi.advanceTimersByTimeAsync(now.ms);
  }
}

function publishOne(market: HubRig['market'], name: string): void {
  if (!market.line(name).hasData) return market.begin(name);
  if (name === TRADES) market.trade(name);
  else if (name === TICKER) market.update(name, { last: String(market.line(name).seq) });
  else market.delta(name, [[String(50 + (market.line(name).seq % 20)), String(market.line(name).seq)]], []);
}

test(
  'whatever happens in whatever order, a client that follows the rules never sees a wrong or unexplained stream',
  { timeout: 120_000 },
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
        rig = startHub({
          limits: { slowQueuedFrames: 20, closeQueuedFrames: 120, inboundBurst: 1_000 },
          retention: { messages: 60, bytes: 1e9, ageMs: 60_000 },
        });
        const { hub, market } = rig;
        const clients = [new RigClient(hub), new RigClient(hub)];
        for (const now of steps) {
          await act(hub, market, clients, now);
          await settle();
          for (const [index, each] of clients.entries()) {
            if (each.wire.closes.length > 0) clients[index] = reconnect(hub, each);
          }
        }
        for (const each of clients) each.wire.resume();
        await pass(3_000);
        for (const name of STREAMS) publishOne(market, name);
        await pass(10_000);
        for (const each of clients) {
          expect(each.problems).toEqual([]);
          for (const name of each.connection.subscriptions.keys()) {
            const { epoch, seq, state, book, latest } = market.line(name);
            const known = each.stream(name);
            expect(known.position, name).toEqual({ epoch, seq });
            expect(known.state, name).toEqual(state);
            if (name === BOOK) expect(known.book).toMatchObject(book);
            if (name === TICKER) expect(known.latest).toEqual(latest);
          }
        }
        rig.stop();
      }),
      { numRuns: 500 },
    );
  },
);
