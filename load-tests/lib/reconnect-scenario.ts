import { doorOf } from './door.ts';
import { MarketSession } from './market-session.ts';
import type { Scenario, World } from './scenario.ts';
import { socketUrl } from './settings.ts';
import type { LoadSettings } from './settings.ts';
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

export type ReconnectSettings = LoadSettings & Readonly<{ cycles: number; pauseMaxMs: number }>;

const PAUSE_MIN_MS = 100;
const RECOVERY_LIMIT_MS = 10_000;

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
      welcomed: () => undefined,
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
        world.after(world.random() * lifetimeMs(settings), finish);
      },
      malformed: () => world.record('malformed_frames', 1),
    },
  );
  const socket = world.connect(socketUrl(settings.baseUrl, door.path), {
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
    world.after(PAUSE_MIN_MS + world.random() * (settings.pauseMaxMs - PAUSE_MIN_MS), () =>
      connectOnce(world, settings, user),
    );
  }
}

/** Connections live long enough on average for the cycles to fill the run. */
function lifetimeMs(settings: ReconnectSettings): number {
  return Math.max(PAUSE_MIN_MS, (2 * settings.durationMs) / (settings.cycles + 1) - settings.pauseMaxMs);
}
