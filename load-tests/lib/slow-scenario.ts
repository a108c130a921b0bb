import { doorOf } from './door.ts';
import { MarketSession } from './market-session.ts';
import { parseMetrics, sumOf } from './prometheus.ts';
import type { Errand, Scenario, SocketPort, World } from './scenario.ts';
import { socketUrl } from './settings.ts';
import type { LoadSettings } from './settings.ts';
import type { StreamAudit } from './stream-audit.ts';

/**
 * Clients that do not read. Nappers stop for some seconds and then read all that waits: they must be told that they were slow,
 * get snapshots for what they missed, and be believed again. Deaf ones do not come back in time: the server must give them up.
 * Neither may ever miss a message without being told.
 */
export const SLOW: Scenario = {
  metrics: {
    slow_conflated: 'rate',
    slow_recovered: 'rate',
    slow_closed: 'counter',
    slow_seq_gaps: 'counter',
    deaf_given_up: 'rate',
    closed_as_slow: 'rate',
  },
  thresholds: {
    slow_conflated: ['rate==1'],
    slow_recovered: ['rate==1'],
    slow_closed: ['count==0'],
    slow_seq_gaps: ['count==0'],
    deaf_given_up: ['rate==1'],
    closed_as_slow: ['rate==1'],
  },
};

/** Beside the streams of the healthy: as many bytes as one market gives. */
const BALLAST = [
  ...[100, 25, 10].flatMap((depth) => ['100ms', '250ms', '1s'].map((rate) => `book:binance:BTC/USDT:${depth}:${rate}`)),
  ...['5m', '15m', '1h', '4h', '1d'].map((timeframe) => `candles:binance:BTC/USDT:${timeframe}`),
];
/**
 * The kernel holds some megabytes for a socket, and as long as they last nobody can know that a client does not read. Each request
 * to resume from an epoch that never was is owed all snapshots anew (73 KB), at less than the server's 20 messages a second.
 */
const ASKS = 90;
const ASK_EVERY_MS = 60;
const NO_POSITION = { epoch: 'never', seq: 0 };
/** Longer than a backlog may be old before conflation (1 s); with the time of asking shorter than 10 s, when a server gives up. */
const NAP_MS = 2_500;
/** Longer than those 10 s, and the second that a closed socket has to end in order. */
const DEAF_MS = 12_500;
/** Reading megabytes that have waited takes k6 a while when many do it: so much longer may it take until all has come that must. */
const PATIENCE_MS = 20_000;
const LOOK_EVERY_MS = 1_000;
const FIRST_ASK_ID = 1_000;

/** Of the run: healthy users are there by then, so that what filling the buffers costs is not taken for a cost of connecting. */
const BEGIN_SHARE = 0.25;

type SlowEvent = Readonly<{ action: string }>;
type Told = { conflated: boolean; recovered: boolean; ended: boolean };

export function runNappingUser(world: World, settings: LoadSettings, user: number): void {
  readSlowly(world, settings, { user, restMs: NAP_MS }, ({ conflated, recovered, ended }) => {
    world.record('slow_conflated', conflated ? 1 : 0);
    world.record('slow_recovered', recovered ? 1 : 0);
    if (!ended) world.record('slow_closed', 1);
  });
}

export function runDeafUser(world: World, settings: LoadSettings, user: number): void {
  readSlowly(world, settings, { user, restMs: DEAF_MS }, ({ ended }) => world.record('deaf_given_up', ended ? 0 : 1));
}

/** Asks the server itself how it saw them: a deaf client's socket is cut before it could read the close code. */
export function runWatcher(
  world: World,
  { opsUrl, durationMs, deaf }: Readonly<{ opsUrl: string; durationMs: number; deaf: number }>,
): void {
  const closedAsSlow = async (): Promise<number> => {
    const { body } = await world.request({ method: 'GET', url: `${opsUrl}/metrics` });
    return sumOf(parseMetrics(body), 'gateway_closes_total', 'code="3008"');
  };
  const lookAgain = (before: number, until: number): void => {
    world.after(LOOK_EVERY_MS, () => {
      void closedAsSlow().then((now) => {
        const all = now - before >= deaf;
        if (all || world.now() > until) world.record('closed_as_slow', all ? 1 : 0);
        else lookAgain(before, until);
      });
    });
  };
  void closedAsSlow().then((before) => lookAgain(before, world.now() + durationMs + PATIENCE_MS));
}

function readSlowly(
  world: World,
  settings: LoadSettings,
  { user, restMs }: Readonly<{ user: number; restMs: number }>,
  atEnd: (told: Told) => void,
): void {
  const door = doorOf(settings.door, user);
  const told: Told = { conflated: false, recovered: false, ended: false };
  const endAt = world.now() + settings.durationMs;
  const ballast = BALLAST.filter((stream) => !settings.streams.includes(stream));
  let errands: readonly Errand[] = [];
  let port: SocketPort | undefined;
  const rest = (): void => {
    // Not of the healthy ones' streams: those go on from message to message, and what conflation leaves out has to be announced.
    const streams = ballast.map((stream) => ({ stream, since: NO_POSITION }));
    const asks = Array.from({ length: ASKS }, (_, index) => ({
      send: door.encode(FIRST_ASK_ID + index, 'subscribe', { streams }),
      waitMs: ASK_EVERY_MS,
    }));
    errands = [...asks, { waitMs: restMs }];
  };
  const session = new MarketSession(
    {
      door,
      streams: [...settings.streams, ...ballast],
      audits: new Map<string, StreamAudit>(),
      send: (text) => port?.send(text),
    },
    {
      answered: () => undefined,
      joined: () => undefined,
      refused: () => world.record('refused_streams', 1),
      message(_envelope, verdict) {
        if (verdict === 'silent_gap') world.record('slow_seq_gaps', 1);
      },
      caughtUp: rest,
      malformed: () => world.record('malformed_frames', 1),
      event(name, data) {
        if (name !== 'slow') return;
        if ((data as SlowEvent).action === 'conflating') told.conflated = true;
        else told.recovered = true;
      },
    },
  );
  const begin = (): void =>
    world.connectSlowly(socketUrl(settings.baseUrl, door.path), {
      onOpen(socket) {
        port = socket;
        session.opened();
      },
      onText(text, socket) {
        errands = [];
        session.receive(text);
        const lateMs = world.now() - endAt;
        if (!told.ended && lateMs > 0 && (told.recovered || lateMs > PATIENCE_MS)) {
          told.ended = true;
          socket.close();
        }
        return errands;
      },
      onClose: () => atEnd(told),
    });
  world.after(settings.durationMs * BEGIN_SHARE, begin);
}
