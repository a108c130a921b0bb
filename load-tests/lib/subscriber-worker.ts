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

function openOne(): void {
  const subscribe = JSON.stringify({ id: 1, method: 'subscribe', params: { streams: setup.streams } });
  let answered = false;
  const socket = new RawWebSocket(setup, {
    onOpen: () => socket.send(subscribe),
    onText(frame, start, end) {
      measure(frame, start, end);
      if (answered || frame.toString('latin1', start, start + 7) !== '{"id":1') return;
      answered = true;
      joined += 1;
    },
    onClose: () => (closed += 1),
  });
  sockets.push(socket);
}

/** In slices: a thousand handshakes at once would overflow the listen backlog rather than measure anything. */
async function openAll(): Promise<void> {
  for (let opened = 0; opened < setup.count; opened++) {
    openOne();
    if (opened % 20 === 19) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const deadline = Date.now() + 30_000;
  while (joined < setup.count && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20));
  report('joined');
}

function report(at: SubscriberReport['at']): void {
  port.postMessage({ at, joined, closed, counts } satisfies SubscriberReport);
}

port.on('message', (command: SubscriberCommand) => {
  if (command === 'begin') counts = emptyCounts();
  else if (command === 'end') report('ended');
  else {
    for (const socket of sockets) socket.destroy();
    port.close();
  }
});
await openAll();
