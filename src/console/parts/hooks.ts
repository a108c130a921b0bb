import { createContext } from 'preact';
import { useCallback, useContext, useEffect, useRef, useState } from 'preact/hooks';
import type { Client, GapNotice, Subscription, SubscriptionState } from '../../client/index.ts';
import type { Link } from '../link/link.ts';
import { RestFailure, messageOf } from '../rest.ts';

export const LinkContext = createContext<Link | null>(null);

export function useLink(): Link {
  const link = useContext(LinkContext);
  if (!link) throw new TypeError('there is no link above this component');
  return link;
}

export type StreamHooks = Readonly<{
  onState(state: SubscriptionState): void;
  onGap(gap: GapNotice): void;
}>;
export type OpenStream<S> = (client: Client, hooks: StreamHooks) => S;
export type Stream<S> = Readonly<{ subscription: S | null; state: SubscriptionState | null }>;

/**
 * Keeps a subscription open while the component is there; `key` names what is subscribed. Panels of one stream share what
 * travels. `onGap` is called when messages were lost for good. `on`: another connection than the public one.
 */
export function useStream<S extends Subscription<unknown>>(
  key: string | null,
  open: OpenStream<S>,
  onGap: (gap: GapNotice) => void = () => undefined,
  on?: Link,
): Stream<S> {
  const publicLink = useLink();
  const link = on ?? publicLink;
  const [stream, setStream] = useState<Stream<S>>({ subscription: null, state: null });
  useEffect(() => {
    if (key === null) return setStream({ subscription: null, state: null });
    let subscription: S | undefined;
    const onState = (state: SubscriptionState): void => {
      if (subscription) link.stateChanged(subscription.stream, state, subscription.ageMs() !== null);
      setStream((known) => ({ ...known, state }));
    };
    try {
      subscription = link.track(open(link.client, { onState, onGap }));
    } catch (error) {
      // The client has stopped for good: the banner says so, and so does every panel.
      const state = { status: 'down', since: Date.now(), reason: messageOf(error) } as const;
      return setStream({ subscription: null, state });
    }
    setStream({ subscription, state: subscription.state });
    const opened = subscription;
    return () => link.untrack(opened);
    // `open` is made anew at each rendering; `key` says when it means something else.
  }, [key, link]);
  return stream;
}

/**
 * State that messages change rather than people: however many come, it is shown with the next frame. What people type is
 * ordinary state, which is rendered before the next key can be pressed: a form must never be sent as it was a moment ago.
 */
export function useFrameState<T>(initial: T): readonly [T, (change: (known: T) => T) => void] {
  const { frames } = useLink();
  const [shown, setShown] = useState(initial);
  const latest = useRef(initial);
  const show = useCallback(() => setShown(() => latest.current), []);
  useEffect(() => () => frames.forget(show), [frames, show]);
  const change = useCallback(
    (make: (known: T) => T) => {
      latest.current = make(latest.current);
      frames.mark(show);
    },
    [frames, show],
  );
  return [shown, change];
}

/** Renders the component again so often. */
export function useTick(everyMs: number): number {
  const [at, setAt] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setAt(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return at;
}

export type Loaded<T> = Readonly<
  | { status: 'loading'; value: T | null }
  | { status: 'ready'; value: T }
  | { status: 'failed'; value: T | null; error: unknown }
> &
  Readonly<{ reload: () => void }>;

/** After an answer that could not be had, unless the server names a time. */
const RETRY_MS = 3_000;
const RETRY_LIMIT_MS = 60_000;

/**
 * What a request brings, again whenever `key` changes. What was there stays until the next answer comes. What can be had later
 * is asked for again by itself, at the server's own time; until then it is `failed`, with the reason.
 */
export function useLoaded<T>(key: string | null, load: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const [round, setRound] = useState(0);
  const [result, setResult] = useState<Omit<Loaded<T>, 'reload'>>({ status: 'loading', value: null });
  useEffect(() => {
    if (key === null) return setResult({ status: 'loading', value: null });
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    setResult((known) => (known.status === 'failed' ? known : { status: 'loading', value: known.value }));
    load(stop.signal).then(
      (value) => {
        if (!stop.signal.aborted) setResult({ status: 'ready', value });
      },
      (error: unknown) => {
        if (stop.signal.aborted) return;
        setResult((known) => ({ status: 'failed', value: known.value, error }));
        const waitMs = retryAfterMs(error);
        if (waitMs !== null) timer = setTimeout(() => setRound((each) => each + 1), waitMs);
      },
    );
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [key, round]);
  return { ...result, reload: () => setRound((each) => each + 1) } as Loaded<T>;
}

/** Null for what will not get better by itself. */
function retryAfterMs(error: unknown): number | null {
  if (!(error instanceof RestFailure)) return null;
  if (error.retryAfterMs !== undefined) return Math.min(RETRY_LIMIT_MS, error.retryAfterMs);
  return error.code === 'unreachable' ? RETRY_MS : null;
}
