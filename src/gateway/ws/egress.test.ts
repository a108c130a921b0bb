import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import type { NativeWriter } from '../../platform/native-writer/native-writer.ts';
import { plainCodec } from './codec.ts';
import { AT_ONCE, Egress, GATHERED_LIMIT_FRAMES } from './egress.ts';
import { jsonFrame } from './frame.ts';
import type { Traffic } from './hub-metrics.ts';
import { Outbox } from './outbox.ts';
import { PipeWire, writerFor } from './pipe-wire-contract.ts';
import type { Subscription } from './topic.ts';

const step = fc.oneof(
  fc.record({
    do: fc.constant('send' as const),
    to: fc.array(fc.nat(3), { minLength: 1, maxLength: 4 }),
    size: fc.oneof(fc.nat(300), fc.nat(300), fc.nat(90_000)),
    dueMs: fc.constantFrom(AT_ONCE, 5, 20),
    own: fc.boolean(),
  }),
  fc.record({ do: fc.constant('room' as const), of: fc.nat(3), bytes: fc.nat(100_000) }),
  fc.record({ do: fc.constant('drain' as const), of: fc.nat(3), bytes: fc.nat(150_000) }),
  fc.record({ do: fc.constant('raw' as const), of: fc.nat(3), raw: fc.boolean() }),
  fc.record({ do: fc.constant('pass' as const), ms: fc.nat(30) }),
  fc.record({ do: fc.constant('hand' as const), of: fc.nat(3) }),
);

test.each([
  ['with a native writer', true],
  ['without one', false],
])('%s every socket gets its frames whole, once and in order, whatever it takes and when', async (_name, isNative) => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      let nowMs = 1;
      const wires = [10, 11, 12, 13].map((fd) => new PipeWire(fd));
      const writes = { native: 0, stream: 0, partial: 0 };
      const egress = new Egress({
        native: isNative ? writerFor(wires) : null,
        clockMs: () => nowMs,
        writes,
        onNativeFault: (error) => {
          throw error;
        },
      });
      const traffic = { frames: 0, bytes: 0, conflated: 0, dropped: 0 };
      const owner = { onDrain: () => undefined, onHeldUp: () => undefined };
      const outboxes = wires.map((wire) => new Outbox(wire, egress, traffic, owner, 1_000));
      const expected = wires.map(() => '');
      const live = { batchMs: null } as Subscription;
      let count = 0;
      const settle = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve));
      for (const now of steps) {
        if (now.do === 'send') {
          count += 1;
          const frame = jsonFrame('', `${count}:`.padEnd(now.size, 'x'), '');
          const outbound = {
            frame,
            before: now.own ? null : { epoch: 'e', seq: count },
            tellsState: false,
            windowMs: 0,
          };
          for (const index of new Set(now.to)) {
            const dueMs = now.dueMs === AT_ONCE ? AT_ONCE : nowMs + now.dueMs;
            expect(outboxes[index]!.send(outbound, now.own ? null : live, nowMs, dueMs)).toBe(true);
            expected[index] += frame.bytes.toString('latin1');
          }
        } else if (now.do === 'room') wires[now.of]!.room = Math.min(wires[now.of]!.room, now.bytes);
        else if (now.do === 'drain') wires[now.of]!.drain(now.bytes);
        else if (now.do === 'raw') wires[now.of]!.raw = now.raw;
        else if (now.do === 'hand') outboxes[now.of]!.handGathered();
        else nowMs += now.ms;
        if (count % 3 === 0) await settle();
        for (const [index, wire] of wires.entries()) expect(expected[index]!.startsWith(wire.received)).toBe(true);
      }
      await settle();
      for (const outbox of outboxes) outbox.handGathered();
      for (let turn = 0; turn < 200; turn++) for (const wire of wires) wire.drain(Infinity);
      await settle();
      for (const [index, wire] of wires.entries()) {
        expect(wire.received.length).toBe(expected[index]!.length);
        expect(wire.received === expected[index]).toBe(true);
        expect(outboxes[index]!.backlog(nowMs)).toEqual({ frames: 0, bytes: 0, ageMs: 0 });
      }
      egress.stop();
    }),
    { numRuns: 300 },
  );
});

test('a native writer that refuses a program is not used again, and nothing is lost by it', async () => {
  const wires = [new PipeWire(10), new PipeWire(11)];

  const faults: unknown[] = [];
  let calls = 0;
  const native = {
    send(): number {
      calls += 1;
      throw new RangeError('no');
    },
  };
  const writes = { native: 0, stream: 0, partial: 0 };
  const egress = new Egress({ native, clockMs: () => 0, writes, onNativeFault: (error) => faults.push(error) });
  const traffic = { frames: 0, bytes: 0, conflated: 0, dropped: 0 };
  const owner = { onDrain: () => undefined, onHeldUp: () => undefined };
  const outboxes = wires.map((wire) => new Outbox(wire, egress, traffic, owner, 10));
  const frame = jsonFrame('', '{}', '');
  for (let round = 0; round < 3; round++) {
    for (const outbox of outboxes)
      outbox.send({ frame, before: null, tellsState: false, windowMs: 0 }, null, 0, AT_ONCE);
    await new Promise<void>((resolve) => process.nextTick(resolve));
  }
  expect(wires.map(({ received }) => received)).toEqual([0, 1].map(() => frame.bytes.toString('latin1').repeat(3)));
  expect([calls, faults.length]).toEqual([1, 1]);
});

test('nothing is written between the reading of a descriptor and the send: what closes a socket gives its number to another', async () => {
  const wires = [new PipeWire(10), new PipeWire(11), new PipeWire(12)];
  wires[1]!.raw = false;
  const steps: string[] = [];
  for (const wire of wires) {
    const descriptor = wire.descriptor.bind(wire);
    wire.descriptor = () => {
      if (descriptor() !== -1 && steps.at(-1) !== 'read') steps.push('read');
      return descriptor();
    };
    const write = wire.write.bind(wire);
    wire.write = (bytes, written) => {
      steps.push('write');
      return write(bytes, written);
    };
  }
  const native: NativeWriter = {
    send(...all) {
      steps.push('send');
      return writerFor(wires.map((wire) => Object.assign(wire, { descriptor: () => wire.fd }))).send(...all);
    },
  };
  const writes = { native: 0, stream: 0, partial: 0 };
  const egress = new Egress({ native, clockMs: () => 0, writes, onNativeFault: () => steps.push('fault') });
  const traffic = { frames: 0, bytes: 0, conflated: 0, dropped: 0 };
  const owner = { onDrain: () => undefined, onHeldUp: () => undefined };
  const frame = jsonFrame('', '{}', '');
  for (const wire of wires) {
    const outbox = new Outbox(wire, egress, traffic, owner, 10);
    outbox.send({ frame, before: null, tellsState: false, windowMs: 0 }, null, 0, AT_ONCE);
  }
  await new Promise<void>((resolve) => process.nextTick(resolve));
  expect(steps).toEqual(['read', 'send', 'write']);
  expect(wires.map(({ received }) => received)).toEqual(wires.map(() => frame.bytes.toString('latin1')));
  expect(writes).toEqual({ native: 2, stream: 1, partial: 0 });
});

type Stage = { egress: Egress; wire: PipeWire; outbox: Outbox; traffic: Traffic; drained: number };

/** One socket with a clock of its own. */
function stage(clockMs: () => number): Stage {
  const wire = new PipeWire(10);
  const writes = { native: 0, stream: 0, partial: 0 };
  const egress = new Egress({ native: writerFor([wire]), clockMs, writes, onNativeFault: () => undefined });
  const traffic = { frames: 0, bytes: 0, conflated: 0, dropped: 0 };
  const made: Stage = { egress, wire, outbox: null as unknown as Outbox, traffic, drained: 0 };
  const owner = { onDrain: () => (made.drained += 1), onHeldUp: () => undefined };
  made.outbox = new Outbox(wire, egress, traffic, owner, 10);
  return made;
}

const turnEnd = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve));
const LIVE = { batchMs: null } as Subscription;
const NO_OWNER = { onDrain: () => undefined, onHeldUp: () => undefined };
const noTraffic = (): Traffic => ({ frames: 0, bytes: 0, conflated: 0, dropped: 0 });
const failed = (error: unknown): never => {
  throw error;
};

function outboundOf(text: string) {
  return { frame: jsonFrame('', text, ''), before: { epoch: 'e', seq: 1 }, tellsState: false, windowMs: 20 };
}

test('a reply that waited behind a stream leaves in time although the stream was thrown away', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  try {
    let nowMs = 0;
    const { egress, wire, outbox, traffic } = stage(() => nowMs);
    // Leaves a later time where the reply will stand.
    const other = new Outbox(
      new PipeWire(11),
      egress,
      traffic,
      { onDrain: () => undefined, onHeldUp: () => undefined },
      10,
    );
    for (const each of [outbox, other]) each.send(outboundOf('0'), LIVE, 0, 500);
    for (const each of [outbox, other]) egress.discard(each);
    outbox.discard();
    outbox.send(outboundOf('1'), LIVE, 0, 20);
    outbox.send(outboundOf('2'), null, 0, 50);
    expect(outbox.dropStreamFrames(() => undefined)).toBe(1);
    nowMs = 20;
    vi.advanceTimersByTime(20);
    await turnEnd();
    expect(wire.received).toBe(jsonFrame('', '2', '').bytes.toString('latin1'));
    egress.stop();
  } finally {
    vi.useRealTimers();
  }
});

test('whoever waits for room hears of it when all that was gathered has left at once, and not before', async () => {
  const made = stage(() => 0);
  made.wire.room = 1;
  made.outbox.send(outboundOf('1'), LIVE, 0, AT_ONCE);
  made.outbox.awaitRoom();
  await turnEnd();
  expect(made.outbox.hasRoom).toBe(false);
  expect(made.drained).toBe(0);
  made.wire.drain(Infinity);
  expect(made.drained).toBe(1);
  made.outbox.send(outboundOf('2'), LIVE, 0, AT_ONCE);
  made.outbox.awaitRoom();
  expect(made.drained).toBe(1);
  await turnEnd();
  expect(made.drained).toBe(2);
});

test('the age of a backlog is that of its oldest frame, gathered or handed over', async () => {
  let nowMs = 100;
  const { egress, wire, outbox } = stage(() => nowMs);
  outbox.send(outboundOf('1'), LIVE, 90, 500);
  outbox.send(outboundOf('2'), LIVE, 100, 500);
  expect(outbox.backlog(nowMs).ageMs).toBe(10);
  wire.room = 1;
  outbox.handGathered();
  nowMs = 130;
  expect(outbox.backlog(nowMs)).toMatchObject({ frames: 2, ageMs: 40 });
  egress.stop();
});

test('when too many frames wait all leave at once, those that were about to leave anyway too', async () => {
  const wires = [new PipeWire(10), new PipeWire(11)];
  for (const wire of wires) wire.room = Infinity;
  const writes = { native: 0, stream: 0, partial: 0 };
  const egress = new Egress({ native: null, clockMs: () => 0, writes, onNativeFault: () => undefined });
  const outboxes = wires.map(() => ({ head: -1, tail: -1, sent: 0 }));
  const outbound = outboundOf('1');
  const written = outboxes.map((outbox, index) =>
    Object.assign(outbox, {
      wire: wires[index],
      codec: plainCodec,
      handOver(messages: number) {
        outbox.head = -1;
        outbox.sent += messages;
        return messages;
      },
      write: () => undefined,
    }),
  ) as unknown as Outbox[];
  egress.add(written[0]!, outbound, LIVE, false, 0, AT_ONCE);
  for (let frame = 0; frame < GATHERED_LIMIT_FRAMES - 2; frame++) egress.add(written[1]!, outbound, LIVE, false, 0, 50);
  expect(outboxes.map(({ sent }) => sent)).toEqual([0, 0]);
  egress.add(written[1]!, outbound, LIVE, false, 0, 50);
  expect(outboxes.map(({ sent }) => sent)).toEqual([1, GATHERED_LIMIT_FRAMES - 1]);
  egress.stop();
});

test('one native call serves more sockets than there was room for, and what each does not take goes on with its stream', async () => {
  const wires = Array.from({ length: 1_500 }, (_, index) => new PipeWire(10 + index));
  for (const wire of wires.slice(1_200)) wire.room = 3;
  const writes = { native: 0, stream: 0, partial: 0 };
  const egress = new Egress({ native: writerFor(wires), clockMs: () => 0, writes, onNativeFault: failed });
  const outboxes = wires.map((wire) => new Outbox(wire, egress, noTraffic(), NO_OWNER, 10));
  const outbound = outboundOf('12345');
  for (const outbox of outboxes) outbox.send(outbound, LIVE, 5, AT_ONCE);
  await turnEnd();
  expect(writes).toEqual({ native: 1_500, stream: 0, partial: 300 });
  expect(outboxes.at(-1)!.backlog(30)).toMatchObject({ frames: 1, ageMs: 25 });
  for (const wire of wires) wire.drain(Infinity);
  expect(new Set(wires.map(({ received }) => received))).toEqual(new Set([outbound.frame.bytes.toString('latin1')]));
  expect(outboxes.filter(({ frames, bytes }) => frames !== 0 || bytes !== 0)).toEqual([]);
});

test.each([
  ['with a native writer', true],
  ['without one', false],
])('%s what has left makes room for as much again: the next frame waits for its window', async (_name, isNative) => {
  const wire = new PipeWire(10);
  wire.room = Infinity;
  const native = isNative ? writerFor([wire]) : null;
  const writes = { native: 0, stream: 0, partial: 0 };
  const egress = new Egress({ native, clockMs: () => 0, writes, onNativeFault: failed });
  const traffic = noTraffic();
  const outbox = new Outbox(wire, egress, traffic, NO_OWNER, 10);
  const outbound = outboundOf('1');
  for (let frame = 0; frame < GATHERED_LIMIT_FRAMES; frame++) outbox.send(outbound, LIVE, 0, AT_ONCE);
  await turnEnd();
  expect(traffic.frames).toBe(GATHERED_LIMIT_FRAMES);
  outbox.send(outbound, LIVE, 0, 50);
  expect(traffic.frames).toBe(GATHERED_LIMIT_FRAMES);
  egress.stop();
});

test('a window that ends later than another ends too, though nothing more is sent', () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  try {
    let nowMs = 0;
    const wires = [new PipeWire(10), new PipeWire(11)];
    const writes = { native: 0, stream: 0, partial: 0 };
    const egress = new Egress({ native: writerFor(wires), clockMs: () => nowMs, writes, onNativeFault: failed });
    for (const [index, wire] of wires.entries()) {
      new Outbox(wire, egress, noTraffic(), NO_OWNER, 10).send(outboundOf('1'), LIVE, 0, [20, 50][index]!);
    }
    const leftMs = wires.map(() => 0);
    for (nowMs = 1; nowMs <= 60; nowMs++) {
      vi.advanceTimersByTime(1);
      for (const [index, wire] of wires.entries()) if (wire.received !== '') leftMs[index] ||= nowMs;
    }
    expect(leftMs).toEqual([20, 50]);
  } finally {
    vi.useRealTimers();
  }
});
