import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { seededRandom } from '../kernel/random.ts';
import { ScriptedServer } from '../testing/scripted-server.ts';
import type { DeliveryFault } from '../testing/scripted-server.ts';
import type { ScriptedStream } from '../testing/scripted-streams.ts';
import { createClient } from './index.ts';
import type { Book, Client, GapNotice, StreamPosition, Subscription } from './index.ts';

const STREAM = 'book:sim:BTC/USDT:25:100ms';
const TRADES = 'trades:sim:BTC/USDT';
const HEARTBEAT_MS = 5_000;

type Step =
  | { op: 'change'; fault?: DeliveryFault }
  | { op: 'epoch' | 'heartbeat' | 'doubt' | 'trust' | 'conflate' | 'silence'; fault?: DeliveryFault }
  | { op: 'cut'; code: number };

const fault = fc.option(
  fc.constantFrom<DeliveryFault>('drop', 'duplicate', 'reorder', 'wrong_checksum', 'wrong_level'),
  { nil: undefined, freq: 2 },
);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 10, arbitrary: fc.record({ op: fc.constant('change' as const), fault }) as fc.Arbitrary<Step> },
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constantFrom('epoch', 'heartbeat', 'doubt', 'trust', 'conflate', 'silence'),
      fault,
    }) as fc.Arbitrary<Step>,
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('cut' as const), code: fc.constantFrom(1006, 3001, 3008) }) },
);

function perform(server: ScriptedServer, stream: string, { op, ...rest }: Step): void {
  switch (op) {
    case 'change':
      // Several at once, so that a reordered message overtakes something.
      for (let count = 0; count < 3; count++) server.change(stream);
      break;
    case 'epoch':
      server.newEpoch(stream);
      break;
    case 'heartbeat':
      server.heartbeat();
      break;
    case 'doubt':
      server.say(stream, 'stale');
      break;
    case 'trust':
      server.say(stream, 'live');
      break;
    case 'conflate':
      server.conflate(stream, 5);
      break;
    case 'silence':
      return;
    case 'cut':
      return server.cut('code' in rest ? rest.code : 1006);
  }
}

/** What the client calls live must be the server's book at that very position. */
function assertTrue(server: ScriptedServer, book: Book | null): void {
  if (!book) return;
  expect(JSON.stringify([book.bids, book.asks])).toBe(server.book(STREAM).truth.get(`${book.epoch}/${book.seq}`));
}

/** After the last fault: heartbeats, as often as it takes to find what is missing. */
async function settle(
  server: ScriptedServer,
  truth: ScriptedStream,
  subscription: Subscription<unknown>,
): Promise<void> {
  for (let beat = 0; beat < 30; beat++) {
    server.heartbeat();
    server.deliver();
    await vi.advanceTimersByTimeAsync(HEARTBEAT_MS);
    server.deliver();
    const { position, state } = subscription;
    const there = position?.seq === truth.seq && position.epoch === truth.epoch;
    if (there && state.status === truth.state.status) return;
  }
}

async function run(server: ScriptedServer, stream: string, steps: readonly Step[], check: () => void): Promise<void> {
  server.deliver();
  await vi.advanceTimersByTimeAsync(1);
  server.deliver();
  for (const each of steps) {
    perform(server, stream, each);
    server.deliver('fault' in each ? each.fault : undefined);
    check();
    await vi.advanceTimersByTimeAsync(each.op === 'silence' ? 9_000 : 300);
  }
}

describe('under any faults', () => {
  let client: Client | undefined;
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    client?.close();
    vi.useRealTimers();
  });

  test('a book shown as live is the book of the server at that position, and in the end it is live', async () => {
    const seen = { live: 0, gaps: 0, checksumFailures: 0, resumes: 0, reconnects: 0, conflations: 0 };
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), fc.integer(), async (steps, seed) => {
        const random = seededRandom(seed);
        const server = new ScriptedServer(random);
        client = createClient({ transport: server, random, onError: () => undefined });
        const subscription = client.book('sim', 'BTC/USDT', {
          onUpdate(book) {
            seen.live += 1;
            assertTrue(server, book);
          },
        });
        await run(server, STREAM, steps, () => assertTrue(server, subscription.live));
        await settle(server, server.book(STREAM), subscription);
        expect(subscription.state).toMatchObject({ status: server.book(STREAM).state.status });
        expect(subscription.position).toEqual(server.book(STREAM).position);
        assertTrue(server, subscription.last);
        const { counters } = client;
        expect(counters.handlerErrors).toBe(0);
        for (const name of ['gaps', 'checksumFailures', 'resumes', 'reconnects', 'conflations'] as const) {
          seen[name] += counters[name];
        }
        client.close();
      }),
      { numRuns: 300, seed: 7 },
    );
    // A property that never met what it is about proves nothing.
    for (const [name, count] of Object.entries(seen)) expect(count, name).toBeGreaterThan(50);
  });

  test('every trade is handed out once and in order, or lies inside a loss that was told', async () => {
    const seen = { trades: 0, told: 0, resumes: 0, gaps: 0 };
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), fc.integer(), async (steps, seed) => {
        const random = seededRandom(seed);
        const server = new ScriptedServer(random);
        client = createClient({ transport: server, random, onError: () => undefined });
        const got: number[] = [];
        const gaps: GapNotice[] = [];
        const subscription = client.trades('sim', 'BTC/USDT', {
          onUpdate: ({ trades }) => got.push(...trades.map(({ id }) => Number(id))),
          onGap: (gap) => gaps.push(gap),
        });
        await run(server, TRADES, steps, () => undefined);
        const truth = server.trades(TRADES);
        await settle(server, truth, subscription);
        expect(subscription.position).toEqual(truth.position);
        expect(got).toEqual(got.toSorted((left, right) => left - right));
        expect(new Set(got).size).toBe(got.length);
        const had = new Set(got);
        // What came before the client joined is nobody's loss.
        const missing = [...truth.madeAt].filter(([id]) => Number(id) > (got[0] ?? Infinity) && !had.has(Number(id)));
        for (const [id, at] of missing) expect(isTold(at, gaps), `trade ${id} of ${at.epoch}/${at.seq}`).toBe(true);
        seen.trades += got.length;
        seen.told += missing.length;
        seen.resumes += client.counters.resumes;
        seen.gaps += client.counters.gaps;
        client.close();
      }),
      { numRuns: 300, seed: 8 },
    );
    for (const [name, count] of Object.entries(seen)) expect(count, name).toBeGreaterThan(50);
  });
});

/** A loss without an end reaches to the end of its epoch; one from 0 says that nobody knows how much of earlier epochs. */
function isTold(at: StreamPosition, gaps: readonly GapNotice[]): boolean {
  return gaps.some(({ epoch, from, to }) =>
    epoch === at.epoch ? at.seq >= from && at.seq <= (to ?? Infinity) : from === 0 || to === null,
  );
}
