import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { seededRandom } from '../kernel/random.ts';
import { ScriptedServer } from '../testing/scripted-server.ts';
import type { DeliveryFault } from '../testing/scripted-server.ts';
import { createClient } from './index.ts';
import type { Book, Client, ValueSubscription } from './index.ts';

const STREAM = 'book:sim:BTC/USDT:25:100ms';
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

function perform(server: ScriptedServer, { op, ...rest }: Step): void {
  switch (op) {
    case 'change':
      // Several at once, so that a reordered message overtakes something.
      for (let count = 0; count < 3; count++) server.change(STREAM);
      break;
    case 'epoch':
      server.newEpoch(STREAM);
      break;
    case 'heartbeat':
      server.heartbeat();
      break;
    case 'doubt':
      server.say(STREAM, 'stale');
      break;
    case 'trust':
      server.say(STREAM, 'live');
      break;
    case 'conflate':
      server.conflate(STREAM, 5);
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

async function settle(server: ScriptedServer, subscription: ValueSubscription<Book>): Promise<void> {
  for (let beat = 0; beat < 30; beat++) {
    server.heartbeat();
    server.deliver();
    await vi.advanceTimersByTimeAsync(HEARTBEAT_MS);
    server.deliver();
    const { live, position } = subscription;
    if (live && position?.seq === server.book(STREAM).seq && position.epoch === server.book(STREAM).epoch) return;
  }
}

describe('a verified book', () => {
  let client: Client | undefined;
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    client?.close();
    vi.useRealTimers();
  });

  test('under any faults, a book shown as live is the book of the server at that position, and in the end it is live', async () => {
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
        server.deliver();
        await vi.advanceTimersByTimeAsync(1);
        server.deliver();
        for (const each of steps) {
          perform(server, each);
          server.deliver('fault' in each ? each.fault : undefined);
          assertTrue(server, subscription.live);
          await vi.advanceTimersByTimeAsync(each.op === 'silence' ? 9_000 : 300);
        }
        await settle(server, subscription);
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
});
