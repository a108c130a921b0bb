import { createClient, plainTransport } from '../../client/index.ts';
import type {
  Client,
  ClientError,
  ConnectionState,
  CredentialProvider,
  Envelope,
  Subscription,
  SubscriptionState,
} from '../../client/index.ts';
import { createStore } from '../store.ts';
import type { Store } from '../store.ts';
import { browserClock, createFrameLoop } from '../view/frame-loop.ts';
import type { FrameLoop } from '../view/frame-loop.ts';
import { faultTransport } from './fault-transport.ts';
import type { FaultSwitch } from './fault-transport.ts';
import { createJournal } from './journal.ts';
import type { Journal } from './journal.ts';
import { createLatencyMeter } from './latency-meter.ts';
import type { LatencyMeter } from './latency-meter.ts';

/** Back on screen soon after a cut: somebody is looking. */
const BACKOFF = { baseMs: 250, maxMs: 8_000, factor: 2, jitter: 0.5 };

/** What all connections of the page have in common. */
export type Shared = Readonly<{
  /** Switches of every open connection: a cut cuts them all. */
  faults: Set<FaultSwitch>;
  latency: LatencyMeter;
  journal: Journal;
  frames: FrameLoop;
  /** Streams in use; one that several panels use is there several times. */
  streams: Store<readonly Subscription<unknown>[]>;
  messages: { count: number };
}>;

/** A connection, what travels on it, and what it went through. */
export type Link = Shared &
  Readonly<{
    client: Client;
    connection: Store<ConnectionState>;
    /** Since when and why the connection is gone; null while it is there, and before it was there for the first time. */
    outage: Store<Outage | null>;
    track<S extends Subscription<unknown>>(subscription: S): S;
    untrack(subscription: Subscription<unknown>): void;
    /** `hadData`: the way to the first data is no news; what happens to data that was there is. */
    stateChanged(stream: string, state: SubscriptionState, hadData: boolean): void;
    close(): void;
  }>;

export type Outage = Readonly<{ since: number; reason: string }>;

export type LinkOptions = Readonly<{
  origin: string;
  /** Another connection of the same page. */
  beside?: Shared;
  authenticate?: CredentialProvider;
  /** The server does not take the credentials, or does not want this connection any more. */
  onRefused?: () => void;
}>;

export function createLink({ origin, beside, authenticate, onRefused }: LinkOptions): Link {
  const shared = beside ?? createShared();
  const { journal, latency, messages } = shared;
  const subject = authenticate ? 'private connection' : 'connection';
  const onMessage = (envelope: Envelope): void => {
    messages.count += 1;
    latency.arrived(envelope);
  };
  const { transport, faults } = faultTransport(plainTransport(origin), onMessage);
  shared.faults.add(faults);
  const connection = createStore<ConnectionState>({ status: 'connecting', since: Date.now(), reason: 'connecting' });
  const outage = createStore<Outage | null>(null);
  const client = createClient({
    transport,
    backoff: BACKOFF,
    ...(authenticate && { authenticate }),
    onConnection(state) {
      connection.set(state);
      // The first word on why is the reason; what follows only tells of the attempts to come back.
      if (state.status === 'open') outage.set(null);
      else if (state.status !== 'connecting') outage.set(outage.get() ?? { since: state.since, reason: state.reason });
      journal.add(subject, state.reason, state.status === 'open' || state.status === 'connecting');
    },
    onError(error: ClientError) {
      journal.add(error.stream ?? subject, error.message, false);
      if (REFUSALS.has(error.code)) onRefused?.();
    },
  });
  const { track, untrack, stateChanged } = trackStreams(shared);
  const close = (): void => {
    shared.faults.delete(faults);
    client.close();
  };
  return { ...shared, client, connection, outage, track, untrack, stateChanged, close };
}

const REFUSALS: ReadonlySet<string> = new Set(['unauthorized', 'forbidden', 'stopped']);

function createShared(): Shared {
  const latency = createLatencyMeter(Date.now, () => performance.now());
  const frames = createFrameLoop(browserClock);
  frames.onFrame = () => latency.drawn();
  return {
    faults: new Set(),
    latency,
    journal: createJournal(Date.now),
    frames,
    streams: createStore<readonly Subscription<unknown>[]>([]),
    messages: { count: 0 },
  };
}

function trackStreams({ streams, journal }: Shared): Pick<Link, 'track' | 'untrack' | 'stateChanged'> {
  const lostAtMs = new Map<string, number>();
  return {
    track(subscription) {
      streams.set([...streams.get(), subscription]);
      return subscription;
    },
    untrack(subscription) {
      subscription.close();
      streams.set(streams.get().filter((each) => each !== subscription));
      if (!streams.get().some((each) => each.stream === subscription.stream)) lostAtMs.delete(subscription.stream);
    },
    stateChanged(stream, { status, reason }, hadData) {
      const lostAt = lostAtMs.get(stream);
      if (status === 'live' && lostAt !== undefined) {
        lostAtMs.delete(stream);
        journal.add(stream, `live again after ${Date.now() - lostAt} ms`, true);
      } else if (status !== 'live' && lostAt === undefined && hadData) {
        lostAtMs.set(stream, Date.now());
        journal.add(stream, `${status}: ${reason}`, false);
      }
    },
  };
}
