import type { Metrics } from '../../platform/metrics.ts';
import { CLOSE_CODES } from '../../protocol/close-codes.ts';
import { METHODS } from '../../protocol/methods.ts';
import type { HandshakeCounts } from './handshake-gate.ts';
import type { Backlog } from './outbox.ts';
import type { SlowReason } from './slow-consumer.ts';
import type { DoorName } from './wire.ts';

/** Counted in plain numbers on the hot path and carried over to the metrics now and then: a labelled counter costs more than a frame. */
export type Traffic = { frames: number; bytes: number; conflated: number; dropped: number };

/** Writes to sockets, by the way they took; `partial`: native ones of which something was left to the socket's stream. */
export type Writes = { native: number; stream: number; partial: number };

/** What a scrape asks the hub. */
export type HubFigures = Readonly<{
  connections: Readonly<Record<DoorName, number>>;
  subscriptions: number;
  streams: number;
  conflating: number;
  backlog: Backlog;
}>;

export type HubMetrics = Readonly<{
  traffic: Readonly<Record<DoorName, Traffic>>;
  writes: Writes;
  handshakes: HandshakeCounts;
  /** Moves `traffic`, `writes` and the ended ones of `handshakes` into the counters. */
  carryOver(): void;
  request(method: string, outcome: string): void;
  subscribed(ms: number): void;
  delivered(ms: number): void;
  conflation(reason: SlowReason): void;
  closed(door: DoorName, code: number): void;
  refused(reason: string): void;
}>;

const LATENCY_BUCKETS_MS = [0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000];
const KNOWN_CLOSE_CODES = new Set<number>(Object.values(CLOSE_CODES).map(({ code }) => code));

export function createHubMetrics(metrics: Metrics, figures: () => HubFigures): HubMetrics {
  const frames = metrics.counter('gateway_frames_sent_total', 'Frames handed to sockets', ['door']);
  const bytes = metrics.counter('gateway_sent_bytes_total', 'Bytes of frames handed to sockets', ['door']);
  const unsent = metrics.counter(
    'gateway_messages_withheld_total',
    'Stream messages not sent to slow connections: held back while conflating, or thrown away from the queue',
    ['door', 'how'],
  );
  const requests = metrics.counter('gateway_requests_total', 'Requests by method and outcome', ['method', 'outcome']);
  const conflations = metrics.counter('gateway_conflations_total', 'Connections found slow', ['reason']);
  const closes = metrics.counter('gateway_closes_total', 'Closed connections by code', ['door', 'code']);
  const refusals = metrics.counter('gateway_refused_total', 'Handshakes refused by reason', ['reason']);
  const subscribe = metrics.histogram(
    'gateway_subscribe_ms',
    'From a subscribe request to its reply',
    LATENCY_BUCKETS_MS,
  );
  const ingest = metrics.histogram(
    'gateway_ingest_to_socket_ms',
    'From the arrival of exchange data to the hand-over to the last socket; a sample of all messages',
    LATENCY_BUCKETS_MS,
  );
  collectFigures(metrics, figures);
  const written = metrics.counter('gateway_socket_writes_total', 'Writes to sockets, by the way they took', ['how']);
  const writes = noWrites();
  const handshakes = countHandshakes(metrics);
  const traffic = { socketio: emptyTraffic(), plain: emptyTraffic() };
  return {
    traffic,
    writes,
    handshakes: handshakes.counts,
    carryOver() {
      handshakes.carryOver();
      for (const [how, count] of Object.entries(writes)) written.inc({ how }, count);
      Object.assign(writes, noWrites());
      for (const [door, counted] of Object.entries(traffic)) {
        frames.inc({ door }, counted.frames);
        bytes.inc({ door }, counted.bytes);
        unsent.inc({ door, how: 'conflated' }, counted.conflated);
        unsent.inc({ door, how: 'dropped' }, counted.dropped);
        Object.assign(counted, emptyTraffic());
      }
    },
    request: (method, outcome) =>
      requests.inc({ method: Object.hasOwn(METHODS, method) ? method : 'unknown', outcome }),
    subscribed: (ms) => subscribe.observe({}, ms),
    delivered: (ms) => ingest.observe({}, ms),
    conflation: (reason) => conflations.inc({ reason }),
    closed: (door, code) => closes.inc({ door, code: closeLabel(code) }),
    refused: (reason) => refusals.inc({ reason }),
  };
}

function countHandshakes(metrics: Metrics): Readonly<{ counts: HandshakeCounts; carryOver(): void }> {
  const counts: HandshakeCounts = { waiting: 0, atOnce: 0, inTurn: 0, abandoned: 0, refused: 0 };
  const total = metrics.counter(
    'gateway_handshakes_total',
    'Handshakes by what became of them: at_once, in_turn, abandoned by the client while it waited, refused because too many waited',
    ['outcome'],
  );
  metrics.collectedGauge('gateway_handshakes_waiting', 'Handshakes that wait for their turn', [], () => [
    [{}, counts.waiting],
  ]);
  return {
    counts,
    carryOver() {
      total.inc({ outcome: 'at_once' }, counts.atOnce);
      total.inc({ outcome: 'in_turn' }, counts.inTurn);
      total.inc({ outcome: 'abandoned' }, counts.abandoned);
      total.inc({ outcome: 'refused' }, counts.refused);
      Object.assign(counts, { atOnce: 0, inTurn: 0, abandoned: 0, refused: 0 });
    },
  };
}

function collectFigures(metrics: Metrics, figures: () => HubFigures): void {
  metrics.collectedGauge('gateway_connections', 'Open connections', ['door'], () =>
    Object.entries(figures().connections).map(([door, count]) => [{ door }, count] as const),
  );
  const single = (name: string, help: string, read: (figures: HubFigures) => number): void =>
    metrics.collectedGauge(name, help, [], () => [[{}, read(figures())]]);
  single('gateway_subscriptions', 'Subscriptions of all connections', (all) => all.subscriptions);
  single('gateway_streams', 'Streams that connections of this process use', (all) => all.streams);
  single('gateway_conflating', 'Connections being conflated', (all) => all.conflating);
  single('gateway_queued_frames', 'Frames not yet taken by the system', (all) => all.backlog.frames);
  single('gateway_queued_bytes', 'Bytes not yet taken by the system', (all) => all.backlog.bytes);
  single('gateway_oldest_queued_ms', 'Age of the oldest unsent frame', (all) => all.backlog.ageMs);
}

/** Clients may close with any number from 3000 to 4999: only known ones become a label. */
function closeLabel(code: number): string {
  return KNOWN_CLOSE_CODES.has(code) || (code >= 1000 && code <= 1015) ? String(code) : 'other';
}

function noWrites(): Writes {
  return { native: 0, stream: 0, partial: 0 };
}

function emptyTraffic(): Traffic {
  return { frames: 0, bytes: 0, conflated: 0, dropped: 0 };
}
