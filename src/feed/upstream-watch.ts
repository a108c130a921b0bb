import { backoffDelayMs } from '../kernel/backoff.ts';
import type { Random } from '../kernel/random.ts';
import type { Upstream } from '../modules/market/upstream.ts';
import { upstreamKey } from '../modules/market/upstream.ts';
import type { StreamState } from '../protocol/messages.ts';
import type { FeedLimits } from './settings.ts';
import { SilenceBudget } from './silence-budget.ts';

export type Nudge = 'silence' | 'not verified in time';

/**
 * One upstream as the main thread sees it. Knows when its silence is too long, whatever the venue's thread is doing.
 * Times are monotonic milliseconds except `since`, which is Unix time.
 */
export class UpstreamWatch {
  readonly upstream: Upstream;
  readonly key: string;
  readonly #limits: FeedLimits;
  readonly #random: Random;
  readonly #silence: SilenceBudget;
  /** Undefined while the upstream is wanted; else when it may go. */
  unwantedUntilMs: number | undefined;
  activity = 0;
  #state: StreamState;
  #notLiveSinceMs: number;
  #nudges = 0;
  #nextNudgeMs = 0;

  constructor(upstream: Upstream, limits: FeedLimits, random: Random, now: { unixMs: number; monotonicMs: number }) {
    this.upstream = upstream;
    this.key = upstreamKey(upstream);
    this.#limits = limits;
    this.#random = random;
    this.#silence = new SilenceBudget(limits.silence, now.monotonicMs);
    this.#state = { status: 'resyncing', since: now.unixMs, reason: 'subscribing' };
    this.#notLiveSinceMs = now.monotonicMs;
  }

  get state(): StreamState {
    return this.#state;
  }

  /** Fruitless attempts to wake it so far. */
  get nudges(): number {
    return this.#nudges;
  }

  /** Answers whether this is news. */
  enter(status: StreamState['status'], reason: string, now: { unixMs: number; monotonicMs: number }): boolean {
    if (this.#state.status === status && this.#state.reason === reason) return false;
    if (this.#state.status === 'live') this.#notLiveSinceMs = now.monotonicMs;
    if (status === 'live') {
      this.#nudges = 0;
      this.#silence.heard(now.monotonicMs);
    }
    this.#state = { status, since: now.unixMs, reason };
    return true;
  }

  heard(nowMs: number): void {
    this.#silence.heard(nowMs);
  }

  /** Books and tickers speak all the time; a market without trades is only quiet, and its connection is watched instead. */
  silent(nowMs: number): boolean {
    const { channel } = this.upstream;
    const speaks = channel === 'book' || channel === 'ticker';
    return speaks && this.#state.status === 'live' && this.#silence.spent(nowMs);
  }

  /** What to ask the thread for now, if anything: pauses grow with each fruitless attempt. */
  dueNudge(nowMs: number): Nudge | undefined {
    const { status } = this.#state;
    if (status === 'live' || status === 'down' || nowMs < this.#nextNudgeMs) return undefined;
    if (status === 'resyncing' && nowMs - this.#notLiveSinceMs < this.#limits.resyncDeadlineMs) return undefined;
    this.#nextNudgeMs = nowMs + backoffDelayMs(this.#limits.nudge, this.#nudges, this.#random);
    this.#nudges += 1;
    return status === 'stale' ? 'silence' : 'not verified in time';
  }

  /** A new thread starts with everything to do: the deadline begins again. */
  restarted(nowMs: number): void {
    this.#notLiveSinceMs = nowMs;
    this.activity = 0;
  }
}
