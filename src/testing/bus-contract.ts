import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { seededRandom } from '../kernel/random.ts';
import type { StreamMessage, StreamPosition, StreamState, Ticker } from '../protocol/messages.ts';
import type { BusDelivery, MarketBus, StreamHead, StreamSource } from '../platform/bus.ts';

/** Where sources publish and where sinks open streams: one bus, or two processes' ends of one. */
export type BusPair = Readonly<{ feed: MarketBus; gateway: MarketBus; stop(): Promise<void> }>;

const LIVE: StreamState = { status: 'live', since: 1, reason: '' };
const WAIT = { timeout: 15_000, interval: 5 };
const EMPTY_TICKER: Ticker = {
  last: null,
  bid: null,
  bidSize: null,
  ask: null,
  askSize: null,
  open: null,
  high: null,
  low: null,
  baseVolume: null,
  quoteVolume: null,
};

/** A source whose streams are counters: the state at seq n is a ticker with last price n. */
export class CountingSource implements StreamSource {
  readonly opened = new Set<string>();
  readonly #bus: MarketBus;
  readonly #run: string;
  readonly #positions = new Map<string, StreamPosition>();
  #epochs = 0;

  constructor(bus: MarketBus, run = 'run') {
    this.#bus = bus;
    this.#run = run;
  }

  open(stream: string): StreamHead | null {
    if (!stream.startsWith('ticker:')) return null;
    this.opened.add(stream);
    return this.head(stream);
  }

  close(stream: string): void {
    this.opened.delete(stream);
  }

  head(stream: string): StreamHead {
    const position = this.#positions.get(stream) ?? this.#begin(stream, 0);
    const snapshot = position.seq === 0 ? null : this.#message(stream, position, 'snapshot');
    return { position, state: LIVE, snapshot };
  }

  publish(stream: string): void {
    const { epoch, seq } = this.head(stream).position;
    const position = { epoch, seq: seq + 1 };
    this.#positions.set(stream, position);
    this.#bus.publish(this.#message(stream, position, 'update'));
  }

  restart(stream: string): void {
    this.#bus.publish(this.#message(stream, this.#begin(stream, 1), 'snapshot'));
  }

  #begin(stream: string, seq: number): StreamPosition {
    this.#epochs += 1;
    const position = { epoch: `${this.#run}.${this.#epochs}`, seq };
    this.#positions.set(stream, position);
    return position;
  }

  #message(stream: string, { epoch, seq }: StreamPosition, kind: 'snapshot' | 'update'): StreamMessage {
    return { stream, epoch, seq, kind, ingestTs: 1, data: { ...EMPTY_TICKER, last: String(seq) } };
  }
}

/** Checks the promise of the bus with every delivery: a head first, then each message once and in order, or `lost` and a head. */
export class Follower {
  readonly violations: string[] = [];
  readonly losses: string[] = [];
  heads = 0;
  messages = 0;
  position: StreamPosition | null = null;

  readonly sink = (delivery: BusDelivery): void => {
    if (delivery.type === 'lost') {
      this.losses.push(delivery.reason);
      this.position = null;
    } else if (delivery.type === 'head') {
      const { position, snapshot } = delivery.head;
      this.heads += 1;
      if (this.position !== null) this.violations.push('a head without a loss');
      if (snapshot !== null && lastOf(snapshot) !== position.seq) this.violations.push('a head untrue to its position');
      this.position = position;
    } else this.#onMessage(delivery.message);
  };

  #onMessage(message: StreamMessage): void {
    const at = this.position;
    this.messages += 1;
    if (at === null) this.violations.push(`seq ${message.seq} without a head`);
    else if (message.epoch === at.epoch ? message.seq !== at.seq + 1 : message.seq !== 1) {
      this.violations.push(`${at.epoch}:${at.seq} -> ${message.epoch}:${message.seq}`);
    }
    if (lastOf(message) !== message.seq) this.violations.push('a message with another`s data');
    this.position = { epoch: message.epoch, seq: message.seq };
  }
}

function lastOf(message: StreamMessage): number {
  return Number((message.data as Ticker).last);
}

/** The guarantees that every implementation of `MarketBus` gives. */
export function describeMarketBus(name: string, makePair: () => Promise<BusPair>): void {
  describe(`${name}: the market bus`, () => {
    const stream = 'ticker:alpha:BTC/USDT';
    let pair: BusPair;
    let source: CountingSource;

    beforeEach(async () => {
      pair = await makePair();
      source = new CountingSource(pair.feed);
    });
    afterEach(() => pair.stop());

    const follow = (of = stream): { follower: Follower; close: () => void } => {
      const follower = new Follower();
      const subscription = pair.gateway.open(of, follower.sink);
      return { follower, close: () => subscription.close() };
    };
    const arrived = (follower: Follower, of = stream) =>
      vi.waitFor(() => expect(follower.position).toEqual(source.head(of).position), WAIT);

    it('brings the head first, at seq 0 when nothing was published yet, and then every message once and in order', async () => {
      pair.feed.serve(source);
      const { follower } = follow();
      await arrived(follower);
      expect(follower.position!.seq).toBe(0);
      for (let count = 0; count < 2_000; count++) source.publish(stream);
      await arrived(follower);
      expect(follower).toMatchObject({ violations: [], heads: 1, messages: 2_000 });
    });

    it('brings the head later when the source comes later', async () => {
      const { follower } = follow();
      pair.feed.serve(source);
      await arrived(follower);
      source.publish(stream);
      await arrived(follower);
      expect(follower.violations).toEqual([]);
    });

    it('lets sinks join and leave at any moment without a message lost or repeated for anyone', async () => {
      pair.feed.serve(source);
      const random = seededRandom(11);
      const streams = Array.from({ length: 20 }, (_, index) => `ticker:alpha:S${index}/USDT`);
      const all: { follower: Follower; close: () => void; of: string }[] = [];
      for (let step = 0; step < 1_500; step++) {
        const of = streams[Math.floor(random() * streams.length)]!;
        const dice = random();
        if (dice < 0.06) all.push({ ...follow(of), of });
        else if (dice < 0.08) all.splice(Math.floor(random() * all.length), 1)[0]?.close();
        else if (dice < 0.1) source.restart(of);
        else source.publish(of);
        if (random() < 0.1) await new Promise((resolve) => setImmediate(resolve));
      }
      expect(all.length).toBeGreaterThan(20);
      for (const { follower, of } of all) await arrived(follower, of);
      for (const { follower } of all) expect(follower).toMatchObject({ violations: [], losses: [] });
    });

    it('keeps a stream open while one of its sinks is there, and closes it after the last', async () => {
      pair.feed.serve(source);
      const first = follow();
      const second = follow();
      await arrived(first.follower);
      await arrived(second.follower);
      first.close();
      first.close();
      source.publish(stream);
      await arrived(second.follower);
      expect(first.follower.messages).toBe(0);
      expect([...source.opened]).toEqual([stream]);
      second.close();
      await vi.waitFor(() => expect(source.opened.size).toBe(0), WAIT);
      const again = follow();
      await arrived(again.follower);
      expect([first, second, again].flatMap(({ follower }) => follower.violations)).toEqual([]);
    });

    it('brings a new epoch in order, as a message', async () => {
      pair.feed.serve(source);
      const { follower } = follow();
      await arrived(follower);
      for (let epoch = 0; epoch < 5; epoch++) {
        source.publish(stream);
        source.restart(stream);
        source.publish(stream);
      }
      await arrived(follower);
      expect(follower).toMatchObject({ violations: [], losses: [], heads: 1, messages: 15 });
    });

    it('goes on for others past a sink that throws, publishes, closes or opens while it is told', async () => {
      pair.feed.serve(source);
      pair.gateway.open(stream, () => {
        throw new Error('sink');
      });
      const inner: Follower[] = [];
      const nosy = pair.gateway.open(stream, (delivery) => {
        if (delivery.type !== 'message' || inner.length >= 3) return;
        inner.push(follow().follower);
        if (inner.length === 3) nosy.close();
      });
      const { follower } = follow();
      await arrived(follower);
      for (let count = 0; count < 50; count++) {
        source.publish(stream);
        await new Promise((resolve) => setImmediate(resolve));
      }
      await vi.waitFor(() => expect(inner).toHaveLength(3), WAIT);
      source.publish(stream);
      for (const each of [follower, ...inner]) await arrived(each);
      for (const each of [follower, ...inner]) expect(each).toMatchObject({ violations: [], losses: [] });
    });

    it('tells nothing to a sink that was closed, not even what is being delivered', async () => {
      pair.feed.serve(source);
      const closing: { close?: () => void } = {};
      pair.gateway.open(stream, (delivery) => {
        if (delivery.type === 'message') closing.close?.();
      });
      const victim = follow();
      const witness = follow();
      await arrived(victim.follower);
      await arrived(witness.follower);
      closing.close = victim.close;
      source.publish(stream);
      await arrived(witness.follower);
      expect(victim.follower.messages).toBe(0);
    });

    it('says so when nobody serves a stream', async () => {
      pair.feed.serve(source);
      const { follower } = follow('book:alpha:BTC/USDT');
      await vi.waitFor(() => expect(follower.losses).toHaveLength(1), WAIT);
      expect(follower.heads).toBe(0);
    });

    it('never throws at the publisher, whoever listens', () => {
      pair.feed.serve(source);
      source.publish('ticker:alpha:NOBODY/USDT');
    });
  });
}
