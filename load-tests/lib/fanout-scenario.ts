import { doorOf } from './door.ts';
import { MarketSession } from './market-session.ts';
import type { Scenario, World } from './scenario.ts';
import { socketUrl } from './settings.ts';
import type { FANOUT_SHAPES, LoadSettings } from './settings.ts';

/**
 * Many subscribers of the same streams. Latencies are by one machine's clock, so they mean something only where load
 * generator and server share it; `ingest_to_received_ms` includes the pace of the book's tier (up to 100 ms at 100 ms).
 */
export const FANOUT: Scenario = {
  metrics: {
    sent_to_received_ms: 'trend',
    ingest_to_received_ms: 'trend',
    connect_to_answer_ms: 'trend',
    first_snapshot_ms: 'trend',
    messages: 'counter',
    seq_gaps: 'counter',
    refused_streams: 'counter',
    early_closes: 'counter',
    malformed_frames: 'counter',
  },
  thresholds: {
    sent_to_received_ms: ['p(95)<100', 'p(99)<250'],
    ingest_to_received_ms: ['p(95)<250', 'p(99)<500'],
    first_snapshot_ms: ['p(95)<1000'],
    messages: ['count>0'],
    seq_gaps: ['count==0'],
    refused_streams: ['count==0'],
    early_closes: ['count==0'],
    malformed_frames: ['count==0'],
    checks: ['rate==1'],
  },
};

/** Users arrive spread over this share of the run, so that connecting is not what is measured. */
const RAMP_SHARE = 0.2;
const LONG_RAMP_SHARE = 0.8;
/** Of a spike: who is there from the beginning, when the others come, over how many milliseconds, and when they leave. */
const SPIKE = { baseUsers: 0.2, atShare: 0.4, overMs: 1_000, untilShare: 0.7 } as const;

export type FanoutSettings = LoadSettings & Readonly<{ shape: (typeof FANOUT_SHAPES)[number] }>;

/** One virtual user, from connect to the end of its time. */
export function runFanoutUser(world: World, settings: FanoutSettings, user: number): void {
  const { fromMs, untilMs } = presence(settings, user);
  world.after(fromMs, () => subscribeUntilEnd(world, settings, user, untilMs - fromMs));
}

/** When a user is there, in milliseconds of the run. */
export function presence(
  { shape, durationMs, users }: FanoutSettings,
  user: number,
): Readonly<{ fromMs: number; untilMs: number }> {
  const place = user / users;
  if (shape === 'spike' && place >= SPIKE.baseUsers) {
    const share = (place - SPIKE.baseUsers) / (1 - SPIKE.baseUsers);
    return { fromMs: durationMs * SPIKE.atShare + share * SPIKE.overMs, untilMs: durationMs * SPIKE.untilShare };
  }
  return { fromMs: durationMs * (shape === 'ramp' ? LONG_RAMP_SHARE : RAMP_SHARE) * place, untilMs: durationMs };
}

function subscribeUntilEnd(world: World, settings: LoadSettings, user: number, forMs: number): void {
  const door = doorOf(settings.door, user);
  const startedAt = world.now();
  const pending = new Set(settings.streams);
  let caughtUp = false;
  let ending = false;
  const session = new MarketSession(
    { door, streams: settings.streams, audits: new Map(), send: (text) => socket.send(text) },
    {
      answered: () => world.record('connect_to_answer_ms', world.now() - startedAt),
      joined: () => undefined,
      refused: () => world.record('refused_streams', 1),
      message({ stream, kind, ingestTs, sentTs }, verdict) {
        const now = world.now();
        world.record('messages', 1);
        if (verdict === 'silent_gap') world.record('seq_gaps', 1);
        if (kind === 'snapshot') {
          if (pending.delete(stream)) world.record('first_snapshot_ms', now - startedAt);
          // A snapshot is as old as the market's last change, which is no latency.
          return;
        }
        world.record('sent_to_received_ms', now - sentTs);
        world.record('ingest_to_received_ms', now - ingestTs);
      },
      caughtUp: () => (caughtUp = true),
      malformed: () => world.record('malformed_frames', 1),
    },
  );
  const socket = world.connect(socketUrl(settings.baseUrl, door.path), {
    onOpen: () => session.opened(),
    onText: (text) => session.receive(text),
    onClose() {
      if (!ending) world.record('early_closes', 1);
    },
  });
  world.after(forMs, () => {
    ending = true;
    world.check('got the state of every stream', caughtUp);
    socket.close();
  });
}
