import { createClient, plainTransport } from '../../client/index.ts';
import type { Client, ConnectionState, Envelope, Subscription, SubscriptionState } from '../../client/index.ts';
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

/** The page's one connection, what travels on it, and what it went through. */
export type Link = Readonly<{
  client: Client;
  connection: Store<ConnectionState>;
  faults: FaultSwitch;
  latency: LatencyMeter;
  journal: Journal;
  frames: FrameLoop;
  /** Streams in use, by the panel that uses them; for the trust screen. */
  streams: Store<readonly Subscription<unknown>[]>;
  messages: () => number;
  track<S extends Subscription<unknown>>(subscription: S): S;
  untrack(subscription: Subscription<unknown>): void;
  /** `hadData`: the way to the first data is no news; what happens to data that was there is. */
  stateChanged(stream: string, state: SubscriptionState, hadData: boolean): void;
}>;

export function createLink(origin: string): Link {
  const journal = createJournal(Date.now);
  const latency = createLatencyMeter(Date.now, () => performance.now());
  const frames = createFrameLoop(browserClock);
  frames.onFrame = () => latency.drawn();
  let messages = 0;
  const onMessage = (envelope: Envelope): void => {
    messages += 1;
    latency.arrived(envelope);
  };
  const { transport, faults } = faultTransport(plainTransport(origin), onMessage);
  const connection = createStore<ConnectionState>({ status: 'connecting', since: Date.now(), reason: 'connecting' });
  const client = createClient({
    transport,
    backoff: BACKOFF,
    onConnection(state) {
      connection.set(state);
      journal.add('connection', state.reason, state.status === 'open' || state.status === 'connecting');
    },
    onError: (error) => journal.add(error.stream ?? 'connection', error.message, false),
  });
  const streams = createStore<readonly Subscription<unknown>[]>([]);
  const lostAtMs = new Map<string, number>();
  return {
    client,
    connection,
    faults,
    latency,
    journal,
    frames,
    streams,
    messages: () => messages,
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
