import type { Random } from '../kernel/random.ts';
import type { UserLog } from '../modules/portfolio/index.ts';
import { PRIVATE_STREAMS } from '../protocol/trading.ts';
import type { PrivateStream, SyncEvent } from '../protocol/trading.ts';

const PAGE = 3;
const ENDED = new Set(['filled', 'canceled', 'expired', 'expired_in_match', 'rejected', 'denied']);

/** What a client shows of its user: built from snapshots and events alone. */
export class ClientState {
  readonly orders = new Map<string, unknown>();
  readonly balances = new Map<string, unknown>();
  readonly positions = new Map<string, unknown>();
  readonly notifications: string[] = [];
  readonly at: Record<PrivateStream, number> = { orders: 0, portfolio: 0, notifications: 0 };
  readonly violations: string[] = [];

  /** Takes the stream's next event; what it has already is skipped, what is missing is a violation. */
  take(event: SyncEvent): void {
    const { stream, streamSeq, data } = event;
    if (streamSeq <= this.at[stream]) return;
    if (streamSeq !== this.at[stream] + 1) this.violations.push(`${stream} ${this.at[stream]} -> ${streamSeq}`);
    this.at[stream] = streamSeq;
    switch (data.type) {
      case 'order':
        if (ENDED.has(data.order.status)) this.orders.delete(data.order.id);
        else this.orders.set(data.order.id, data.order);
        break;
      case 'balance': {
        const { asset, total, available, held } = data.balance;
        this.balances.set(asset, { asset, total, available, held });
        break;
      }
      case 'position':
        this.positions.set(`${data.position.base} ${data.position.quote}`, data.position);
        break;
      case 'notification':
        this.notifications.push(data.notification.id);
        break;
      case 'fill':
        break;
    }
  }

  reset(stream: PrivateStream, streamSeq: number, data: unknown): void {
    type Snapshot = {
      orders?: { id: string }[];
      balances?: { asset: string }[];
      positions?: { base: string; quote: string }[];
    };
    const { orders = [], balances = [], positions = [] } = data as Snapshot;
    this.at[stream] = streamSeq;
    if (stream === 'orders') replace(this.orders, orders, (order) => order.id);
    if (stream !== 'portfolio') return;
    replace(this.balances, balances, (balance) => balance.asset);
    replace(this.positions, positions, (position) => `${position.base} ${position.quote}`);
  }
}

function replace<T>(map: Map<string, unknown>, items: readonly T[], key: (item: T) => string): void {
  map.clear();
  for (const item of items) map.set(key(item), item);
}

/** A client that comes and goes, and resumes in whichever way it likes: by stream, by the whole log, or from snapshots. */
export class LogClient {
  readonly state = new ClientState();
  readonly #log: UserLog;
  readonly #userId: string;
  readonly #random: Random;
  #leave: (() => void) | null = null;
  /** Where the whole log was left. */
  #seq = 0;

  constructor(log: UserLog, userId: string, random: Random) {
    this.#log = log;
    this.#userId = userId;
    this.#random = random;
  }

  get connected(): boolean {
    return this.#leave !== null;
  }

  disconnect(): void {
    this.#leave?.();
    this.#leave = null;
  }

  async connect(): Promise<void> {
    const dice = this.#random();
    if (dice < 0.4) await this.#resumeStreams();
    else if (dice < 0.8) await this.#resumeLog();
    else await this.#startAnew();
  }

  async #resumeStreams(): Promise<void> {
    // Follows first and holds back what comes, so that nothing falls between reading and following.
    const early: SyncEvent[] = [];
    let ready = false;
    const { head } = await this.#log.since(this.#userId, 0, 1);
    this.#leave = this.#log.follow(this.#userId, head, (events) => {
      if (ready) this.#takeAll(events);
      else early.push(...events);
    });
    for (const stream of PRIVATE_STREAMS) {
      for (;;) {
        const page = await this.#log.streamSince(this.#userId, stream, this.state.at[stream], PAGE);
        this.#takeStream(page.events);
        if (this.state.at[stream] >= page.head) break;
      }
    }
    ready = true;
    this.#takeAll(early);
    this.#seq = Math.max(this.#seq, head);
  }

  async #resumeLog(): Promise<void> {
    for (;;) {
      const { events, head } = await this.#log.since(this.#userId, this.#seq, PAGE);
      this.#takeAll(events);
      if (this.#seq >= head) break;
    }
    this.#leave = this.#log.follow(this.#userId, this.#seq, (events) => this.#takeAll(events));
  }

  async #startAnew(): Promise<void> {
    let least = Infinity;
    for (const stream of ['orders', 'portfolio'] as const) {
      const { streamSeq, logSeq, data } = await this.#log.snapshot(this.#userId, stream);
      this.state.reset(stream, streamSeq, data);
      least = Math.min(least, logSeq);
    }
    for (;;) {
      const page = await this.#log.streamSince(this.#userId, 'notifications', this.state.at.notifications, PAGE);
      this.#takeStream(page.events);
      if (this.state.at.notifications >= page.head) break;
    }
    // Older than the snapshots it may be: what the state has already is skipped.
    this.#seq = least;
    this.#leave = this.#log.follow(this.#userId, least, (events) => this.#takeAll(events));
  }

  /** Pages of one stream say nothing about the others: the place in the whole log stays where it is. */
  #takeStream(events: readonly SyncEvent[]): void {
    for (const event of events) this.state.take(event);
  }

  #takeAll(events: readonly SyncEvent[]): void {
    for (const event of events) {
      this.state.take(event);
      this.#seq = Math.max(this.#seq, event.seq);
    }
  }
}
