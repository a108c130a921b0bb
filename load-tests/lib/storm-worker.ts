import { parentPort, workerData } from 'node:worker_threads';
import { BookState } from '../../src/protocol/book.ts';
import type { BookDelta, BookSnapshot } from '../../src/protocol/messages.ts';
import { PLAIN_DOOR } from './door.ts';
import type { WireEnvelope } from './door.ts';
import { MarketSession } from './market-session.ts';
import { RawWebSocket } from './raw-websocket.ts';
import type { StreamAudit } from './stream-audit.ts';
import type { StormCommand, StormReport, StormSetup } from './storm-clients.ts';

// A thread of clients that hold a book each and prove every message of it.
const setup = workerData as StormSetup;
const port = parentPort!;
/** As our client library: 250 ms, doubling, jitter of half. */
const BACKOFF = { baseMs: 250, maxMs: 30_000, jitter: 0.5 };
const RETURN_LIMIT_MS = 60_000;
const CHECK_MS = 50;

type Client = {
  readonly stream: string;
  readonly audits: Map<string, StreamAudit>;
  readonly book: BookState;
  socket: RawWebSocket | null;
  failures: number;
  /** When its book was proved after the last cut. */
  backAt: number | null;
};

let attempts = 0;
let refused = 0;
let broken = 0;
let wrong = 0;
let silentGaps = 0;
let stopping = false;
/** The connection that the cut has ended: its close is the storm itself and not an answer to it. */
const cutSocket = new WeakMap<Client, RawWebSocket>();

function connectOne(client: Client): void {
  attempts += 1;
  client.socket?.destroy();
  let isRefused = false;
  const socket = new RawWebSocket(
    { host: setup.host, port: setup.port, path: PLAIN_DOOR.path },
    {
      onOpen: () => session.opened(),
      onText: (frame, start, end) => session.receive(frame.toString('utf8', start, end)),
      onRefused() {
        isRefused = true;
        refused += 1;
      },
      onClose() {
        if (client.socket !== socket) return;
        if (!isRefused && client.backAt === null && cutSocket.get(client) !== socket) broken += 1;
        retry(client);
      },
    },
  );
  client.socket = socket;
  const session = new MarketSession(
    { door: PLAIN_DOOR, streams: [client.stream], audits: client.audits, send: (text) => socket.send(text) },
    {
      answered: () => undefined,
      joined: () => undefined,
      refused: () => (wrong += 1),
      malformed: () => (wrong += 1),
      message(envelope, verdict) {
        if (verdict === 'silent_gap') silentGaps += 1;
        if (verdict !== 'repeated') prove(client, envelope);
      },
      caughtUp() {
        client.failures = 0;
        client.backAt ??= performance.now();
      },
    },
  );
}

/** A book that does not have the server's checksum after a message is wrong from there on. */
function prove({ book }: Client, { kind, data }: WireEnvelope): void {
  if (kind === 'snapshot') book.reset(data as BookSnapshot);
  else if (kind === 'delta') book.apply(data as BookDelta);
  else return;
  // Where an exchange's own ids prove a change, not every delta carries one.
  const { checksum } = data as { checksum?: number };
  if (checksum !== undefined && book.checksum() !== checksum) wrong += 1;
}

function retry(client: Client): void {
  if (stopping) return;
  const fullMs = Math.min(BACKOFF.maxMs, BACKOFF.baseMs * 2 ** client.failures);
  client.failures += 1;
  setTimeout(() => connectOne(client), fullMs * (1 - BACKOFF.jitter * Math.random()));
}

/** Resolves when all are back, or at the limit. */
async function allBack(clients: readonly Client[], sinceMs: number): Promise<StormReport> {
  while (performance.now() - sinceMs < RETURN_LIMIT_MS && clients.some(({ backAt }) => backAt === null)) {
    await new Promise((resolve) => setTimeout(resolve, CHECK_MS));
  }
  const back = clients.flatMap(({ backAt }) => (backAt === null ? [] : [backAt - sinceMs]));
  return { back, missing: clients.length - back.length, attempts, refused, broken, wrong, silentGaps };
}

const clients = Array.from({ length: setup.count }, (_, index): Client => {
  const stream = setup.streams[index % setup.streams.length]!;
  return { stream, audits: new Map(), book: new BookState(), socket: null, failures: 0, backAt: null };
});

port.on('message', (command: StormCommand) => {
  if (command === 'stop') {
    stopping = true;
    for (const { socket } of clients) socket?.destroy();
    port.close();
    return;
  }
  attempts = 0;
  refused = 0;
  broken = 0;
  const sinceMs = performance.now();
  for (const client of clients) {
    client.backAt = null;
    if (client.socket !== null) cutSocket.set(client, client.socket);
    // Its end is told by its close, from where it comes back.
    client.socket?.destroy();
  }
  void allBack(clients, sinceMs).then((report) => port.postMessage(report));
});

const startedMs = performance.now();
for (const client of clients) retry(client);
port.postMessage(await allBack(clients, startedMs));
