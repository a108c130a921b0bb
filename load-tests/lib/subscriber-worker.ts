import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { readFrameTimes } from './frame-times.ts';
import { RawWebSocket } from './raw-websocket.ts';
import { emptyLatency } from './subscribers.ts';
import type { PhaseCounts, SubscriberCommand, SubscriberReport, SubscriberSetup } from './subscribers.ts';

// A thread full of subscribers on the plain door. It is told when a phase of the measurement begins and ends.
const setup = workerData as SubscriberSetup;
const port = parentPort!;
const sockets: RawWebSocket[] = [];
let counts = emptyCounts();
let joined = 0;
let closed = 0;

function emptyCounts(): PhaseCounts {
  return { frames: 0, bytes: 0, channels: {} };
}

function measure(frame: Buffer, start: number, end: number): void {
  counts.frames += 1;
  counts.bytes += end - start;
  const times = readFrameTimes(frame, start, end);
  if (!times) return;
  const now = performance.timeOrigin + performance.now();
  const channel = (counts.channels[times.channel] ??= emptyLatency());
  channel.ingestToSent.record(times.sentTs - times.ingestTs);
  channel.sentToReceived.record(Math.max(0, now - times.sentTs));
  channel.ingestToReceived.record(Math.max(0, now - times.ingestTs));
}

/** Two ids, so that the answers are told apart by a glance at their first bytes. */
const SUBSCRIBE = JSON.stringify({ id: 1, method: 'subscribe', params: { streams: setup.streams } });
const UNSUBSCRIBE = JSON.stringify({ id: 2, method: 'unsubscribe', params: { streams: setup.streams } });
const ANSWER_BYTES = Buffer.from('{"id":');
const ANSWER_LIMIT_MS = 30_000;

function openOne(): void {
  const socket = new RawWebSocket(setup, {
    onOpen: () => socket.send(SUBSCRIBE),
    onText(frame, start, end) {
      measure(frame, start, end);
      if (frame.compare(ANSWER_BYTES, 0, ANSWER_BYTES.length, start, start + ANSWER_BYTES.length) !== 0) return;
      joined += frame[start + ANSWER_BYTES.length] === 0x31 ? 1 : -1;
    },
    onClose: () => (closed += 1),
  });
  sockets.push(socket);
}

/** In slices: a thousand handshakes at once would overflow the listen backlog rather than measure anything. */
async function inSlices(act: (index: number) => void): Promise<void> {
  for (let index = 0; index < setup.count; index++) {
    act(index);
    if (index % 20 === 19) await sleep(20);
  }
}

/** Reports in any case, at the limit with those that were answered until then. */
async function reportOnce(at: SubscriberReport['at'], wanted: number): Promise<void> {
  const deadline = Date.now() + ANSWER_LIMIT_MS;
  while (joined !== wanted && Date.now() < deadline) await sleep(20);
  report(at);
}

async function move(at: 'joined' | 'left'): Promise<void> {
  await inSlices((index) => sockets[index]!.send(at === 'joined' ? SUBSCRIBE : UNSUBSCRIBE));
  await reportOnce(at, at === 'joined' ? setup.count : 0);
}

function report(at: SubscriberReport['at']): void {
  port.postMessage({ at, joined, closed, counts } satisfies SubscriberReport);
}

port.on('message', (command: SubscriberCommand) => {
  if (command === 'begin') counts = emptyCounts();
  else if (command === 'end') report('ended');
  else if (command === 'join') void move('joined');
  else if (command === 'leave') void move('left');
  else {
    for (const socket of sockets) socket.destroy();
    port.close();
  }
});
await inSlices(openOne);
await reportOnce('joined', setup.count);
