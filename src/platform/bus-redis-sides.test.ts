import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CountingSource, Follower } from '../testing/bus-contract.ts';
import { FeedSide } from './bus-redis-feed.ts';
import type { DataFrame, WantFrame } from './bus-redis-frames.ts';
import {
  busChannels,
  messageFrame,
  parseDataFrame,
  parseFeedFrame,
  parseWantFrame,
  partitionFor,
} from './bus-redis-frames.ts';
import { GatewaySide } from './bus-redis-gateway.ts';
import { createMemoryBus } from './bus-memory.ts';
import type { StreamMessage } from '../protocol/messages.ts';
import type { BusSink } from './bus.ts';

const STREAM = 'ticker:alpha:BTC/USDT';
const PARTITIONS = 4;
const CHANNELS = busChannels(PARTITIONS);
const PARTITION = partitionFor(STREAM, PARTITIONS);

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A feed's half whose frames the test carries by hand, or loses. */
function feedRig() {
  const frames: DataFrame[] = [];
  const source: CountingSource = new CountingSource({
    ...createMemoryBus(),
    publish: (message) => side.publish(message),
  });
  const backlog = { bytes: 0 };
  const side = new FeedSide({
    nodeRun: 'feed/1',
    partitions: PARTITIONS,
    channels: CHANNELS,
    wantTtlMs: 30_000,
    monotonic: () => performance.now(),
    open: (stream) => source.open(stream),
    close: (stream) => source.close(stream),
    send: (channel, text) => {
      if (CHANNELS.partitionOf(channel) !== undefined) frames.push(parseDataFrame(text)!);
    },
    backlogBytes: () => backlog.bytes,
    onRefused: () => undefined,
  });
  return { side, source, frames, backlog };
}

function want(heads = true, streams = [STREAM]): WantFrame {
  return { t: 'want', g: 'gateway/1', s: streams, heads, p: 0 };
}

/** A gateway's half, what it asks for, and the promise of its subscription in the test's hand. */
function gatewayRig() {
  const asked: WantFrame[] = [];
  const confirmations: ((confirmed: boolean) => void)[] = [];
  const losses: string[] = [];
  const side = new GatewaySide({
    nodeRun: 'gateway/1',
    partitions: PARTITIONS,
    channels: CHANNELS,
    feedSilenceMs: 5_000,
    headRetryMs: 2_000,
    monotonic: () => performance.now(),
    isUp: () => true,
    send: (_, text) => void asked.push(parseWantFrame(text)!),
    subscribe: () => new Promise((resolve) => confirmations.push(resolve)),
    unsubscribe: () => Promise.resolve(),
    onLost: (reason) => void losses.push(reason),
    onSinkError: () => expect.unreachable(),
  });
  const settle = () => vi.advanceTimersByTimeAsync(1);
  return { side, asked, confirmations, losses, settle };
}

async function synced() {
  const feed = feedRig();
  const gateway = gatewayRig();
  const follower = new Follower();
  const open = (sink: BusSink) => gateway.side.open(STREAM, sink);
  open(follower.sink);
  await gateway.settle();
  gateway.confirmations[0]!(true);
  await gateway.settle();
  const carry = (count = Infinity): void => {
    for (const frame of feed.frames.splice(0, count)) gateway.side.onData(PARTITION, frame);
  };
  feed.side.onWant(gateway.asked.shift()!);
  await gateway.settle();
  carry();
  expect(follower).toMatchObject({ heads: 1, violations: [] });
  return { feed, gateway, follower, open, carry };
}

describe('patience', () => {
  it('of the least patient gateway decides, and counts no longer than its lease', () => {
    const { side } = feedRig();
    const says = (g: string, p: number) => side.onWant({ ...want(false, []), g, p });
    expect(side.windowMs).toBe(0);
    says('gateway/1', 25);
    expect(side.windowMs).toBe(25);
    says('gateway/2', 0);
    expect(side.windowMs).toBe(0);
    says('gateway/2', 10);
    expect(side.windowMs).toBe(10);
    vi.advanceTimersByTime(29_000);
    says('gateway/1', 25);
    vi.advanceTimersByTime(1_000);
    side.tick();
    expect(side.windowMs).toBe(25);
    vi.advanceTimersByTime(30_000);
    side.tick();
    expect(side.windowMs).toBe(0);
  });

  it('is told when it changes and with every renewal, within its bounds', async () => {
    const { side, asked, confirmations, settle } = gatewayRig();
    side.open(STREAM, () => undefined);
    await settle();
    confirmations[0]!(true);
    await settle();
    side.setPatience(25);
    side.setPatience(25);
    side.renew();
    side.setPatience(1e9);
    side.setPatience(-1);
    expect(asked.map(({ s, p }) => [s, p])).toEqual([
      [[STREAM], 0],
      [[], 25],
      [[STREAM], 25],
      [[], 50],
      [[], 0],
    ]);
  });
});

describe('a gateway', () => {
  it('asks for a head only once Redis has confirmed that it will hear the answer', async () => {
    const { side, asked, confirmations, settle } = gatewayRig();
    side.open(STREAM, () => undefined);
    await settle();
    expect(asked).toEqual([]);
    confirmations[0]!(true);
    await settle();
    expect(asked).toEqual([want()]);
  });

  it('asks again and again until a head comes, and says that none does', async () => {
    const { side, asked, confirmations, settle } = gatewayRig();
    const follower = new Follower();
    side.open(STREAM, follower.sink);
    await settle();
    confirmations[0]!(true);
    for (let second = 0; second < 8; second++) {
      await vi.advanceTimersByTimeAsync(1_000);
      side.tick();
      confirmations.at(-1)!(true);
    }
    expect(asked.length).toBeGreaterThanOrEqual(3);
    expect(follower.losses).toEqual(['no feed answers']);
  });

  it('notices a frame that is missing on its partition, even one of another stream', async () => {
    const { feed, gateway, follower, carry } = await synced();
    feed.source.publish(STREAM);
    feed.source.publish(STREAM);
    feed.frames.shift();
    carry();
    expect(follower.losses).toEqual(['frames are missing on the bus']);
    await gateway.settle();
    feed.side.onWant(gateway.asked.at(-1)!);
    await gateway.settle();
    carry();
    expect(follower).toMatchObject({ heads: 2, violations: [], position: { seq: 2 } });
  });

  it('notices a lost tail by the next beat, though no message follows', async () => {
    const { feed, follower, carry } = await synced();
    feed.side.tick();
    carry();
    expect(follower.losses).toEqual([]);
    feed.source.publish(STREAM);
    feed.frames.length = 0;
    // Whoever spoke since the last one has no need of a beat: quiet begins with the second.
    feed.side.tick();
    feed.side.tick();
    carry();
    expect(follower.losses).toEqual(['frames are missing on the bus']);
  });

  it('passes on no hole in a stream`s own sequence, wherever it came from', async () => {
    const { feed, follower, carry } = await synced();
    feed.source.publish(STREAM);
    carry();
    feed.source.publish(STREAM);
    const [frame] = feed.frames.splice(0);
    const { m } = frame as Extract<DataFrame, { t: 'message' }>;
    feed.frames.push({ ...(frame as Extract<DataFrame, { t: 'message' }>), m: { ...m, seq: m.seq + 1 } });
    carry();
    expect(follower).toMatchObject({ losses: ['messages are missing'], violations: [] });
  });

  it('hears again after its subscription was dropped without a word, and dropped once more', async () => {
    const { gateway } = await synced();
    for (let drops = 1; drops <= 3; drops++) {
      for (let second = 0; second < 7; second++) {
        await vi.advanceTimersByTimeAsync(1_000);
        gateway.side.tick();
      }
      await gateway.settle();
      expect(gateway.confirmations.length).toBeGreaterThan(drops);
      gateway.confirmations.at(-1)!(true);
    }
  });

  it('keeps to the feed that it follows while that one is heard, and turns to the other when it is not', async () => {
    const { feed, gateway, follower, carry } = await synced();
    const other = feedRig();
    other.side.onWant(want());
    await gateway.settle();
    const foreign = (frame: DataFrame): DataFrame => ({ ...frame, f: 'other/1' });
    for (const frame of other.frames.splice(0)) gateway.side.onData(PARTITION, foreign(frame));
    feed.source.publish(STREAM);
    carry();
    expect(follower).toMatchObject({ heads: 1, losses: [], violations: [] });
    for (let second = 0; second < 7; second++) {
      await vi.advanceTimersByTimeAsync(1_000);
      other.side.tick();
      for (const frame of other.frames.splice(0)) gateway.side.onData(PARTITION, foreign(frame));
      gateway.side.tick();
      await gateway.settle();
      gateway.confirmations.at(-1)!(true);
    }
    expect(follower.losses[0]).toBe('the feed fell silent');
    // It hears: to subscribe anew would cost it frames of the other.
    expect(gateway.confirmations).toHaveLength(1);
    other.side.onWant(want());
    await gateway.settle();
    for (const frame of other.frames.splice(0)) gateway.side.onData(PARTITION, foreign(frame));
    expect(follower).toMatchObject({ heads: 2, violations: [] });
  });

  it('gives a sink that joins later its own head, and disturbs nobody', async () => {
    const { feed, gateway, follower, open, carry } = await synced();
    feed.source.publish(STREAM);
    carry();
    for (let second = 0; second < 7; second++) {
      await vi.advanceTimersByTimeAsync(1_000);
      feed.side.tick();
      carry();
      gateway.side.tick();
    }
    const late = new Follower();
    open(late.sink);
    feed.source.publish(STREAM);
    carry();
    gateway.side.tick();
    expect(late).toMatchObject({ heads: 0, losses: [] });
    await gateway.settle();
    feed.side.onWant(gateway.asked.at(-1)!);
    await gateway.settle();
    feed.source.publish(STREAM);
    carry();
    expect(late).toMatchObject({ heads: 1, messages: 1, violations: [], position: { seq: 3 } });
    expect(follower).toMatchObject({ heads: 1, messages: 3, violations: [], losses: [] });
  });

  it('asks again when the feed gives up a stream that it still wants', async () => {
    const { feed, gateway, follower, carry } = await synced();
    feed.side.onWant({ ...want(), t: 'drop' });
    carry();
    expect(follower.losses).toEqual(['the feed gave the stream up']);
    await gateway.settle();
    expect(gateway.asked.at(-1)).toEqual(want());
  });

  it('does not grow with the number of feeds that somebody makes up', async () => {
    const { feed, gateway, follower, carry } = await synced();
    for (let made = 0; made < 10_000; made++) gateway.side.onData(PARTITION, { t: 'beat', f: `made/${made}`, n: 1 });
    expect(gateway.side.feeds).toBe(256);
    feed.source.publish(STREAM);
    carry();
    expect(follower).toMatchObject({ losses: [], violations: [], position: { seq: 1 } });
  });
});

describe('a feed', () => {
  it('answers many requests for one stream with one head, and keeps the live messages going in between', async () => {
    const { side, frames, backlog } = feedRig();
    const streams = Array.from({ length: 100 }, (_, index) => `ticker:alpha:S${index}/USDT`);
    for (let gateway = 0; gateway < 20; gateway++) side.onWant({ ...want(true, streams), g: `gateway/${gateway}` });
    await vi.advanceTimersByTimeAsync(0);
    expect(frames).toHaveLength(20);
    backlog.bytes = 1e9;
    await vi.advanceTimersByTimeAsync(1_000);
    expect(frames).toHaveLength(20);
    backlog.bytes = 0;
    await vi.advanceTimersByTimeAsync(1_000);
    expect(frames).toHaveLength(100);
    side.stop();
  });

  it('gives up a stream when its last lease ran out, and says so on the partition', () => {
    const { side, source, frames } = feedRig();
    side.onWant(want());
    side.onWant({ ...want(), g: 'gateway/2' });
    vi.advanceTimersByTime(20_000);
    side.onWant(want(false));
    vi.advanceTimersByTime(20_000);
    side.tick();
    expect(source.opened.size).toBe(1);
    vi.advanceTimersByTime(20_000);
    side.tick();
    expect(source.opened.size).toBe(0);
    expect(frames.at(-1)).toMatchObject({ t: 'closed', s: STREAM });
    side.stop();
  });
});

describe('frames', () => {
  const message = {
    stream: STREAM,
    epoch: 'e',
    seq: 1,
    kind: 'state',
    ingestTs: 1,
    data: { status: 'live', since: 1, reason: '' },
  };
  const frame = { t: 'message', f: 'a/b', n: 1, m: message };
  /** As `messageFrame`, of whatever a stranger may send. */
  const textOf = ({ m, ...rest }: Record<string, unknown>): string =>
    m === undefined ? JSON.stringify(rest) : `${JSON.stringify(rest)}\n${JSON.stringify(m)}`;

  it('takes what we send', () => {
    const json = JSON.stringify(message);
    expect(textOf(frame)).toBe(messageFrame('a/b', 1, message as StreamMessage));
    expect(parseDataFrame(textOf(frame))).toEqual({ ...frame, json });
    expect(parseFeedFrame('{"t":"hello","f":"a/b"}')).toEqual({ t: 'hello', f: 'a/b' });
  });

  it.each([
    ['not JSON', '{'],
    ['nothing', ''],
    ['another type', { ...frame, t: 'order' }],
    ['an unknown field', { ...frame, x: 1 }],
    ['data that does not fit its channel', { ...frame, m: { ...message, kind: 'update', data: { last: 1 } } }],
    [
      'book levels that are numbers',
      { ...frame, m: { ...message, stream: 'book:a:B', kind: 'delta', data: { bids: [[1, 2]], asks: [] } } },
    ],
    ['a channel that does not exist', { ...frame, m: { ...message, stream: 'orders:a', kind: 'update' } }],
    [
      'a head of another stream',
      {
        t: 'head',
        f: 'a/b',
        n: 1,
        s: 'ticker:a:X',
        h: { position: { epoch: 'e', seq: 1 }, state: message.data, snapshot: message },
      },
    ],
    ['a negative count', { ...frame, n: -1 }],
    ['a message without its text', { ...frame, m: undefined }],
    ['a message inside its frame', JSON.stringify(frame)],
    ['a text behind what has none', `${JSON.stringify({ t: 'beat', f: 'a/b', n: 1 })}\n${JSON.stringify(message)}`],
    ['two messages', `${textOf(frame)}${JSON.stringify(message)}`],
    ['something behind a message', `${textOf(frame)} `],
  ])('refuses %s', (_, value) => {
    expect(parseDataFrame(typeof value === 'string' ? value : textOf(value))).toBeNull();
  });
});
