import type { Clock } from '../kernel/clock.ts';
import { BoundedQueue } from '../kernel/bounded-queue.ts';
import { TokenBucket } from '../kernel/token-bucket.ts';

export type BudgetLane = 'rest' | 'subscribe' | 'dial';
export type RequestRates = Readonly<Record<BudgetLane, { capacity: number; refillPerSecond: number }>>;

/** Callers that wait in one lane; past this a caller is refused and comes back after its own pause. */
const WAITING_LIMIT = 1_000;
/** What a ban without `Retry-After` costs: Binance counts by the minute, and calling during a ban lengthens it. */
const BAN_MS = 60_000;
/** No exchange bans for longer than three days; a date far away is a fault of the answer. */
const BAN_LIMIT_MS = 3 * 86_400_000;

export class BudgetClosedError extends Error {
  override name = 'BudgetClosedError';
}

type Waiting = Readonly<{ resolve: () => void; reject: (error: Error) => void }>;
type Lane = {
  readonly bucket: TokenBucket;
  readonly waiting: BoundedQueue<Waiting>;
  timer: NodeJS.Timeout | undefined;
};

/**
 * All that one venue's thread asks of its exchange passes here, first come first served: REST calls, subscriptions, dials.
 * ccxt's own throttle is not applied to all of them, and a burst of subscriptions or snapshots gets an address banned.
 */
export class RequestBudget {
  readonly #clock: Clock;
  readonly #lanes: Readonly<Record<BudgetLane, Lane>>;
  #bannedUntil: number;
  #closed = false;

  constructor(rates: RequestRates, clock: Clock, bannedUntil: number) {
    const lane = (name: BudgetLane): Lane => ({
      bucket: new TokenBucket(rates[name], clock.monotonic()),
      waiting: new BoundedQueue(WAITING_LIMIT),
      timer: undefined,
    });
    this.#clock = clock;
    this.#lanes = { rest: lane('rest'), subscribe: lane('subscribe'), dial: lane('dial') };
    this.#bannedUntil = bannedUntil;
  }

  /** Unix milliseconds; in the past when there is no ban. */
  get bannedUntil(): number {
    return this.#bannedUntil;
  }

  /** The exchange has said 429 or 418. `retryAfter` is the header as it came: seconds or an HTTP date. Answers until when. */
  ban(retryAfter: string | undefined): number {
    const nowMs = this.#clock.now();
    const askedMs = retryAfterMs(retryAfter, nowMs) ?? BAN_MS;
    this.#bannedUntil = Math.max(this.#bannedUntil, nowMs + Math.min(askedMs, BAN_LIMIT_MS));
    return this.#bannedUntil;
  }

  /** Resolves when the request may leave; rejects when too many wait or the budget is closed. */
  take(name: BudgetLane): Promise<void> {
    if (this.#closed) return Promise.reject(new BudgetClosedError('the feed is stopping'));
    const lane = this.#lanes[name];
    if (lane.waiting.length === 0 && this.#waitMs(lane) === 0 && lane.bucket.tryTake(this.#clock.monotonic())) {
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      if (!lane.waiting.offer({ resolve, reject })) {
        reject(new BudgetClosedError(`more than ${WAITING_LIMIT} requests wait for the exchange`));
        return;
      }
      this.#schedule(lane);
    });
  }

  close(): void {
    this.#closed = true;
    for (const lane of Object.values(this.#lanes)) {
      clearTimeout(lane.timer);
      for (const { reject } of lane.waiting.takeAll()) reject(new BudgetClosedError('the feed is stopping'));
    }
  }

  #waitMs(lane: Lane): number {
    return Math.max(this.#bannedUntil - this.#clock.now(), lane.bucket.waitMs(this.#clock.monotonic()), 0);
  }

  #schedule(lane: Lane): void {
    if (lane.timer !== undefined || lane.waiting.length === 0) return;
    lane.timer = setTimeout(
      () => {
        lane.timer = undefined;
        while (lane.waiting.length > 0 && this.#waitMs(lane) === 0 && lane.bucket.tryTake(this.#clock.monotonic())) {
          lane.waiting.take()!.resolve();
        }
        this.#schedule(lane);
      },
      Math.min(this.#waitMs(lane), BAN_MS),
    );
  }
}

/** `Retry-After` as milliseconds from now; undefined when it says nothing usable. */
export function retryAfterMs(header: string | undefined, nowMs: number): number | undefined {
  const text = header?.trim() ?? '';
  if (/^\d{1,7}$/.test(text)) return Number(text) * 1000;
  // `Date.parse` takes almost anything, '-1' for instance, for a date.
  const dateMs = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} /.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(dateMs) ? undefined : Math.max(0, dateMs - nowMs);
}
