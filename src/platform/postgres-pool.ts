import { BoundedQueue } from '../kernel/bounded-queue.ts';
import type { Clock } from '../kernel/clock.ts';
import { DatabaseFailure, breaksConnection } from './postgres-failure.ts';
import { openLane } from './postgres-lane.ts';
import type { Lane, LaneOptions } from './postgres-lane.ts';

/** Callers that may wait for a connection; one more is told `overloaded` at once. */
const WAITERS_LIMIT = 1_000;
const WAIT_LIMIT_MS = 5_000;
/** A server process collects plans and catalogue entries; after this age it is replaced when nobody uses it. */
const LANE_AGE_LIMIT_MS = 30 * 60_000;
const STOP_LIMIT_MS = 10_000;
const STOP_POLL_MS = 10;

export type PoolOptions = LaneOptions & Readonly<{ size: number; clock: Clock }>;

type Waiter = { settle(permit: true): void; fail(error: Error): void; left: boolean };

/** At most `size` connections, each given to one caller at a time. */
export class ConnectionPool {
  readonly #options: PoolOptions;
  readonly #idle: Lane[] = [];
  readonly #inUse = new Set<Lane>();
  readonly #waiters = new BoundedQueue<Waiter>(WAITERS_LIMIT);
  /** Permits taken: connections in use or being opened. */
  #taken = 0;
  #stopping = false;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  get counts(): Readonly<{ inUse: number; idle: number; waiting: number }> {
    return { inUse: this.#taken, idle: this.#idle.length, waiting: this.#waiters.length };
  }

  /**
   * Gives `work` a connection. After `limitMs` the connection is destroyed and the call rejects, whatever `work` does: the
   * server's own timeouts come first, so the limit only meets a server or a network that does not answer at all.
   */
  async use<T>(limitMs: number, work: (lane: Lane) => Promise<T>): Promise<T> {
    await this.#takePermit();
    let lane: Lane | undefined;
    try {
      lane = await this.#takeLane();
      this.#inUse.add(lane);
      return await this.#limit(lane, limitMs, work);
    } catch (error) {
      if (lane && breaksConnection(error)) lane.destroy();
      throw error;
    } finally {
      if (lane) this.#giveBack(lane);
      this.#givePermit();
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    for (const waiter of this.#waiters.takeAll()) waiter.fail(stoppingFailure());
    for (const lane of this.#idle.splice(0)) lane.destroy();
    const deadlineMs = this.#options.clock.monotonic() + STOP_LIMIT_MS;
    while (this.#taken > 0 && this.#options.clock.monotonic() < deadlineMs) {
      await new Promise((settle) => setTimeout(settle, STOP_POLL_MS));
    }
    for (const lane of this.#inUse) lane.destroy();
  }

  #takePermit(): Promise<true> | true {
    if (this.#stopping) throw stoppingFailure();
    if (this.#taken < this.#options.size) {
      this.#taken += 1;
      return true;
    }
    return new Promise((settle, fail) => {
      const waiter: Waiter = { settle, fail, left: false };
      const timer = setTimeout(() => {
        waiter.left = true;
        fail(new DatabaseFailure('overloaded', `no connection became free within ${WAIT_LIMIT_MS} ms`));
      }, WAIT_LIMIT_MS);
      waiter.settle = (permit) => {
        clearTimeout(timer);
        settle(permit);
      };
      waiter.fail = (error) => {
        clearTimeout(timer);
        fail(error);
      };
      if (!this.#waiters.offer(waiter)) {
        waiter.fail(new DatabaseFailure('overloaded', `${WAITERS_LIMIT} callers wait for a connection already`));
      }
    });
  }

  #givePermit(): void {
    for (let waiter = this.#waiters.take(); waiter; waiter = this.#waiters.take()) {
      if (waiter.left) continue;
      waiter.settle(true);
      return;
    }
    this.#taken -= 1;
  }

  /** The one used last comes first: its plans are warm, and the others grow old enough to be retired. */
  async #takeLane(): Promise<Lane> {
    for (let lane = this.#idle.pop(); lane; lane = this.#idle.pop()) {
      if (!lane.broken()) return lane;
      lane.destroy();
    }
    try {
      return await openLane(this.#options, this.#options.clock.monotonic());
    } catch (error) {
      throw new DatabaseFailure('unavailable', 'no connection to Postgres', error);
    }
  }

  #giveBack(lane: Lane): void {
    this.#inUse.delete(lane);
    const ageMs = this.#options.clock.monotonic() - lane.openedMs;
    if (this.#stopping || lane.broken() || ageMs > LANE_AGE_LIMIT_MS) lane.destroy();
    else this.#idle.push(lane);
  }

  async #limit<T>(lane: Lane, limitMs: number, work: (lane: Lane) => Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, fail) => {
      timer = setTimeout(() => {
        lane.destroy();
        fail(new DatabaseFailure('outcome_unknown', `no answer from Postgres within ${limitMs} ms`));
      }, limitMs);
    });
    try {
      return await Promise.race([work(lane), late]);
    } finally {
      clearTimeout(timer);
    }
  }
}

function stoppingFailure(): DatabaseFailure {
  return new DatabaseFailure('stopped', 'the connections are being closed');
}
