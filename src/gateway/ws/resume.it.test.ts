import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { seededRandom } from '../../kernel/random.ts';
import type { HubRig } from './hub-rig-contract.ts';
import { RigClient, fakeTime, settle, startHub } from './hub-rig-contract.ts';

const BOOK = 'book:sandbox:BTC/USDT:25:100ms';
const TRADES = 'trades:sandbox:BTC/USDT';
const RESUMES = 10_000;
const SEED = 20_240_808;

let rig: HubRig;
beforeEach(fakeTime);
afterEach(() => {
  rig.stop();
  vi.useRealTimers();
});

/** Where each trade was published, so that what a client has can be held against what there was. */
type Published = Map<string, string[]>;

function publish(market: HubRig['market'], published: Published, count: number): void {
  for (let turn = 0; turn < count; turn++) {
    const { id } = market.trade(TRADES);
    const { epoch, seq } = market.line(TRADES);
    const ids = published.get(epoch) ?? [];
    ids[seq] = id;
    published.set(epoch, ids);
    market.delta(BOOK, [[String(50 + (seq % 20)), String(seq)]], []);
  }
}

test(
  'ten thousand returns after cuts of every length: every missed trade arrives or is said to be missing, and no book is wrong',
  { timeout: 120_000 },
  async () => {
    rig = startHub({ retention: { messages: 60, bytes: 1e9, ageMs: 60_000 } });
    const { hub, market } = rig;
    const random = seededRandom(SEED);
    const upTo = (limit: number): number => Math.floor(random() * limit);
    const published: Published = new Map();
    for (const name of [BOOK, TRADES]) market.begin(name);
    let client = new RigClient(hub);
    client.subscribe(BOOK, TRADES);
    await settle();
    let recovered = 0;
    for (let resume = 0; resume < RESUMES; resume++) {
      publish(market, published, upTo(4));
      const known = [BOOK, TRADES].map((name) => client.stream(name));
      client.connection.onClosed(1006);
      if (random() < 0.02) market.begin(random() < 0.5 ? BOOK : TRADES);
      publish(market, published, random() < 0.2 ? upTo(300) : upTo(8));
      if (random() < 0.1) vi.advanceTimersByTime(upTo(70_000));
      const next = new RigClient(hub);
      next.problems.push(...client.problems);
      for (const [index, name] of [BOOK, TRADES].entries()) next.streams.set(name, known[index]!);
      const ids = next.subscribe(
        ...[BOOK, TRADES].map((stream, index) => ({ stream, since: { ...known[index]!.position! } })),
      );
      await new Promise<void>((resolve) => process.nextTick(resolve));
      if (next.reply(ids) === undefined) await settle();
      recovered += next.results(ids).filter((result) => 'recovered' in result && result.recovered).length;
      client = next;
      if (resume % 50 > 0) continue;
      await settle();
      expect(client.stream(BOOK).book).toMatchObject(market.line(BOOK).book);
    }
    await settle();
    expect(client.problems).toEqual([]);
    // Both ways of coming back were taken, often.
    expect(recovered).toBeGreaterThan(RESUMES);
    expect(recovered).toBeLessThan(2 * RESUMES - 1_000);
    const trades = client.stream(TRADES);
    const unexplained = [...published].flatMap(([epoch, ids]) => {
      const positions = trades.received.filter((each) => each.epoch === epoch).map(({ seq }) => seq);
      const last = positions.at(-1) ?? 0;
      const gaps = trades.gaps.filter((gap) => gap.epoch === epoch);
      return ids.filter(
        (id, seq) => seq <= last && !trades.trades.has(id) && !gaps.some(({ from, to }) => seq >= from && seq <= to),
      );
    });
    expect(unexplained).toEqual([]);
  },
);
