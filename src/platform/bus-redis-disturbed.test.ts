import { afterEach, expect, it, vi } from 'vitest';
import { seededRandom } from '../kernel/random.ts';
import type { Random } from '../kernel/random.ts';
import { CountingSource, Follower } from '../testing/bus-contract.ts';
import { createMemoryBus } from './bus-memory.ts';
import { FeedSide } from './bus-redis-feed.ts';
import { busChannels, parseDataFrame, parseFeedFrame, parseWantFrame } from './bus-redis-frames.ts';
import { GatewaySide } from './bus-redis-gateway.ts';
import { SendWindow } from './bus-redis-window.ts';
import type { BusSubscription } from './bus.ts';

/** `BUS_RUNS=5000` for more. */
const RUNS = Number(process.env.BUS_RUNS ?? 150);
const STEPS = 250;
const CHANNELS = busChannels(2);
const STREAMS = ['a', 'b', 'c', 'd'].map((name) => `ticker:alpha:${name}/USDT`);
const LOSS = 0.004;
/** Longer than every lease, silence and retry. */
const CALM_MS = 60_000;
const TICK_MS = 1_000;
const PATIENCES_MS = [0, 0, 25, 50] as const;
const TIMES = { monotonic: () => performance.now(), wantTtlMs: 30_000, feedSilenceMs: 5_000, headRetryMs: 2_000 };

afterEach(() => void vi.useRealTimers());

/** Redis, as far as it matters: each receiver gets what is published on its channels, in order, unless it is lost on the way. */
class Wires {
  readonly #ends: {
    channels: Set<string>;
    waiting: [string, string][];
    take: (channel: string, text: string) => void;
  }[] = [];
  readonly #random: Random;
  disturbed = true;

  constructor(random: Random) {
    this.#random = random;
  }

  join(channels: readonly string[], take: (channel: string, text: string) => void) {
    const end = { channels: new Set(channels), waiting: [] as [string, string][], take };
    this.#ends.push(end);
    return { ...end, leave: () => void this.#ends.splice(this.#ends.indexOf(end), 1) };
  }

  publish(channel: string, text: string): void {
    for (const end of this.#ends) if (end.channels.has(channel)) end.waiting.push([channel, text]);
  }

  carry(share = 1): void {
    for (const { waiting, take } of this.#ends) {
      for (const [channel, text] of waiting.splice(0, Math.ceil(waiting.length * share))) {
        if (!this.disturbed || this.#random() >= LOSS) take(channel, text);
      }
    }
  }
}

function startFeed(wires: Wires, run: string) {
  const window = new SendWindow((channel, text) => wires.publish(channel, text));
  const source: CountingSource = new CountingSource(
    { ...createMemoryBus(), publish: (each) => side.publish(each) },
    run,
  );
  const side: FeedSide = new FeedSide({
    ...TIMES,
    nodeRun: `feed/${run}`,
    partitions: 2,
    channels: CHANNELS,
    open: (stream) => source.open(stream),
    close: (stream) => source.close(stream),
    send: (channel, text) => window.add(channel, text, side.windowMs),
    backlogBytes: () => 0,
    onRefused: () => undefined,
  });
  const end = wires.join([CHANNELS.wants], (_, text) => side.onWant(parseWantFrame(text)!));
  side.hello();
  const stop = (inOrder: boolean): void => {
    if (inOrder) side.bye();
    side.stop();
    window.flush();
    end.leave();
  };
  return { side, source, stop };
}

function startGateway(wires: Wires, random: Random, name: string) {
  const side: GatewaySide = new GatewaySide({
    ...TIMES,
    nodeRun: `${name}/1`,
    partitions: 2,
    channels: CHANNELS,
    isUp: () => true,
    send: (channel, text) => wires.publish(channel, text),
    subscribe: async (channel) => {
      await new Promise((settle) => setTimeout(settle, random() * 20));
      end.channels.add(channel);
      return true;
    },
    unsubscribe: async (channel) => void end.channels.delete(channel),
    onLost: () => undefined,
    onSinkError: (error) => expect.unreachable(String(error)),
  });
  const end = wires.join([CHANNELS.feeds], (channel, text) => {
    const partition = CHANNELS.partitionOf(channel);
    if (partition === undefined) side.onFeed(parseFeedFrame(text)!);
    else side.onData(partition, parseDataFrame(text)!);
  });
  const opened: { stream: string; follower: Follower; subscription: BusSubscription }[] = [];
  const open = (stream: string): void => {
    const follower = new Follower();
    opened.push({ stream, follower, subscription: side.open(stream, follower.sink) });
  };
  return { side, end, opened, open };
}

async function run(seed: number): Promise<void> {
  // Each run in a time of its own, so that it can be repeated alone.
  vi.useRealTimers();
  vi.useFakeTimers({ now: 0 });
  const random = seededRandom(seed);
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!;
  const wires = new Wires(random);
  let feed = startFeed(wires, 'r0');
  const gateways = ['one', 'two'].map((name) => startGateway(wires, random, name));
  const violations: string[] = [];
  const passMs = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= TICK_MS) {
      await vi.advanceTimersByTimeAsync(Math.min(left, TICK_MS));
      for (const { side } of [feed, ...gateways]) side.tick();
      if (random() < 0.1 || ms > TICK_MS) for (const { side } of gateways) side.renew();
      wires.carry();
    }
  };
  for (let step = 1; step <= STEPS; step++) {
    const dice = random();
    const gateway = pick(gateways);
    if (dice < 0.6) for (let count = random() * 8; count > 0; count--) feed.source.publish(pick(STREAMS));
    else if (dice < 0.65) gateway.open(pick(STREAMS));
    else if (dice < 0.69 && gateway.opened.length > 0) {
      const [gone] = gateway.opened.splice(Math.floor(random() * gateway.opened.length), 1);
      gone!.subscription.close();
      violations.push(...gone!.follower.violations);
    } else if (dice < 0.74) gateway.side.setPatience(pick(PATIENCES_MS));
    else if (dice < 0.76) feed.source.restart(pick(STREAMS));
    else if (dice < 0.77) {
      feed.stop(random() < 0.5);
      feed = startFeed(wires, `r${step}`);
    } else if (dice < 0.78) gateway.end.channels.delete(CHANNELS.partition(pick([0, 1])));
    else if (dice < 0.79) {
      gateway.end.waiting.length = 0;
      gateway.side.onDown();
      gateway.side.onUp();
    } else if (dice < 0.83) await passMs(TICK_MS);
    else await vi.advanceTimersByTimeAsync(random() * 30);
    if (random() < 0.5) wires.carry(random());
  }
  wires.disturbed = false;
  for (const { side } of gateways) side.setPatience(0);
  await passMs(CALM_MS);
  expect(feed.side.windowMs).toBe(0);
  for (const { opened } of gateways) {
    for (const { stream, follower } of opened) {
      violations.push(...follower.violations);
      expect(follower.position, `${stream} at the end of run ${seed}`).toEqual(feed.source.head(stream).position);
    }
  }
  expect(violations, `run ${seed}`).toEqual([]);
  feed.stop(true);
  for (const { side } of gateways) side.stop();
}

it(
  `passes on no hole, no repetition and no stream that stays behind in ${RUNS} disturbed runs`,
  { timeout: 120_000 },
  async () => {
    for (let seed = 0; seed < RUNS; seed++) await run(seed);
  },
);
