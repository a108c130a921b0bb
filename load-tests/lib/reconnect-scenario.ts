import { doorOf } from './door.ts';
import { MarketSession } from './market-session.ts';
import type { Scenario, World } from './scenario.ts';
import { socketUrl } from './settings.ts';
import type { LoadSettings, RECONNECT_SHAPES } from './settings.ts';
import type { StreamAudit } from './stream-audit.ts';

/** Subscribers that lose their connection again and again and come back with the positions that they had. */
export const RECONNECT: Scenario = {
  metrics: {
    recovery_ms: 'trend',
    recovered: 'rate',
    seq_gaps: 'counter',
    failed_recoveries: 'counter',
    refused_streams: 'counter',
    malformed_frames: 'counter',
  },
  thresholds: {
    recovery_ms: ['p(95)<1000', 'p(99)<2000'],
    // The retained window is longer than any pause here: nearly every return must bring what was missed.
    recovered: ['rate>0.95'],
    seq_gaps: ['count==0'],
    failed_recoveries: ['count==0'],
    refused_streams: ['count==0'],
    malformed_frames: ['count==0'],
    checks: ['rate==1'],
  },
};

export type ReconnectSettings = LoadSettings &
  Readonly<{ cycles: number; pauseMaxMs: number; shape: (typeof RECONNECT_SHAPES)[number] }>;

/** All come back at once: what counts is that each does, and that nobody waits for long. */
export const RECONNECT_STORM: Scenario = {
  ...RECONNECT,
  thresholds: { ...RECONNECT.thresholds, recovery_ms: ['p(99)<15000'] },
};

const PAUSE_MIN_MS = 100;
/** The first pause of our client library is up to this long. */
const STORM_PAUSE_MS = 250;
const RECOVERY_LIMIT_MS = 15_000;

type User = { readonly number: number; readonly audits: Map<string, StreamAudit>; cycle: number };

/** One virtual user: `cycles` connections, cut at a random moment, each resuming what the one before knew. */
export function runReconnectUser(world: World, settings: ReconnectSettings, user: number): void {
  const state: User = { number: user, audits: new Map(), cycle: 0 };
  world.after(world.random() * PAUSE_MIN_MS, () => connectOnce(world, settings, state));
}

function connectOnce(world: World, settings: ReconnectSettings, user: User): void {
  const door = doorOf(settings.door, user.number);
  const startedAt = world.now();
  const first = user.cycle === 0;
  let caughtUp = false;
  let over = false;
  const session = new MarketSession(
    { door, streams: settings.streams, audits: user.audits, send: (text) => socket.send(text) },
    {
      answered: () => undefined,
      joined({ recovered }, resumed) {
        if (resumed) world.record('recovered', recovered ? 1 : 0);
      },
      refused: () => world.record('refused_streams', 1),
      message(_envelope, verdict) {
        if (verdict === 'silent_gap') world.record('seq_gaps', 1);
      },
      caughtUp() {
        caughtUp = true;
        callOff();
        if (!first) world.record('recovery_ms', world.now() - startedAt);
        world.after(remainingMs(world, settings), finish);
      },
      malformed: () => world.record('malformed_frames', 1),
    },
  );
  const socket = world.connect(socketUrl(settings.baseUrl, door.path), {
    onOpen: () => session.opened(),
    onText: (text) => session.receive(text),
    onClose: finish,
  });
  const callOff = world.after(RECOVERY_LIMIT_MS, finish);

  /** Once per connection: after the recovery, at the time limit or when the server closes, whichever comes first. */
  function finish(): void {
    if (over) return;
    over = true;
    callOff();
    socket.close();
    world.check('came back and caught up', caughtUp);
    if (!caughtUp) world.record('failed_recoveries', 1);
    user.cycle += 1;
    if (user.cycle > settings.cycles) return;
    world.after(pauseMs(world, settings), () => connectOnce(world, settings, user));
  }
}

function pauseMs(world: World, { shape, pauseMaxMs }: ReconnectSettings): number {
  if (shape === 'storm') return STORM_PAUSE_MS * world.random();
  return PAUSE_MIN_MS + world.random() * (pauseMaxMs - PAUSE_MIN_MS);
}

/** How long a connection that has caught up lives: in a storm to the next moment on the clock that all share. */
function remainingMs(world: World, { shape, cycles, durationMs, pauseMaxMs }: ReconnectSettings): number {
  const spacingMs = durationMs / (cycles + 1);
  if (shape === 'storm') return spacingMs - (world.now() % spacingMs);
  // Long enough on average for the cycles to fill the run.
  return world.random() * Math.max(PAUSE_MIN_MS, 2 * spacingMs - pauseMaxMs);
}
