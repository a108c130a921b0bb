import { Redis } from 'ioredis';
import { backoffDelayMs } from '../kernel/backoff.ts';

/** Unanswered bytes after which frames are dropped rather than queued: a frozen Redis must not fill our memory. */
const BACKLOG_LIMIT_BYTES = 16_777_216;
/** A peer that answers nothing for so long is taken for dead. Above `COMMAND_TIMEOUT_MS`. */
const SOCKET_SILENCE_MS = 3_000;
const COMMAND_TIMEOUT_MS = 2_000;
const CONNECT_TIMEOUT_MS = 5_000;
const RETRY = { baseMs: 50, maxMs: 2_000, factor: 2, jitter: 0.3 } as const;

export type LinkEvents = Readonly<{
  onUp: () => void;
  onDown: (reason: string) => void;
  onText?: (channel: string, text: string) => void;
}>;

/**
 * One connection to Redis that never queues while it is down, never resends, and says when it went up or down.
 * Subscriptions are not restored by the driver: after `onUp` the owner subscribes again and knows from when on it hears.
 */
export class RedisLink {
  readonly #redis: Redis;
  readonly #events: LinkEvents;
  #up = false;
  #stopped = false;
  #lastError = 'not connected yet';
  #backlogBytes = 0;
  /** Commands of an earlier connection may settle late or never: their bytes are not counted any more. */
  #connection = 0;

  constructor(url: string, name: string, events: LinkEvents) {
    this.#events = events;
    this.#redis = new Redis(url, {
      lazyConnect: true,
      connectionName: name,
      enableOfflineQueue: false,
      autoResubscribe: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      commandTimeout: COMMAND_TIMEOUT_MS,
      socketTimeout: SOCKET_SILENCE_MS,
      connectTimeout: CONNECT_TIMEOUT_MS,
      retryStrategy: (times) => backoffDelayMs(RETRY, times - 1, Math.random),
    });
    this.#redis.on('error', (error) => {
      this.#lastError = error.message;
    });
    this.#redis.on('ready', () => this.#goUp());
    this.#redis.on('close', () => this.#goDown());
    if (events.onText) this.#redis.on('message', events.onText);
  }

  get up(): boolean {
    return this.#up;
  }

  get lastError(): string {
    return this.#lastError;
  }

  get backlogBytes(): number {
    return this.#backlogBytes;
  }

  /** Connects; resolves when the first attempt has succeeded or failed. Later attempts go on by themselves. */
  async start(): Promise<void> {
    try {
      await this.#redis.connect();
    } catch (error) {
      // Not fatal: the driver goes on trying, and `up` tells.
      this.#lastError = error instanceof Error ? error.message : String(error);
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#redis.disconnect();
  }

  /** Never waits. Answers why the text was dropped, or null when it is on its way. */
  publish(channel: string, text: string): 'not_connected' | 'backlog' | null {
    if (!this.#up) return 'not_connected';
    if (this.#backlogBytes > BACKLOG_LIMIT_BYTES) return 'backlog';
    const connection = this.#connection;
    const bytes = text.length;
    this.#backlogBytes += bytes;
    const settle = (): void => {
      if (connection === this.#connection) this.#backlogBytes -= bytes;
    };
    this.#redis.publish(channel, text).then(settle, (error: Error) => {
      settle();
      this.#lastError = error.message;
    });
    return null;
  }

  /** True once Redis has confirmed that messages of all of them come to us. */
  async subscribe(channels: readonly string[]): Promise<boolean> {
    if (!this.#up) return false;
    const connection = this.#connection;
    try {
      await this.#redis.subscribe(...channels);
      return this.#up && connection === this.#connection;
    } catch (error) {
      this.#lastError = error instanceof Error ? error.message : String(error);
      return false;
    }
  }

  async unsubscribe(channel: string): Promise<void> {
    if (!this.#up) return;
    try {
      await this.#redis.unsubscribe(channel);
    } catch (error) {
      // Messages that go on coming are ignored.
      this.#lastError = error instanceof Error ? error.message : String(error);
    }
  }

  /** Makes a silent peer show: an unanswered ping ends the connection after the socket's silence limit. */
  ping(): void {
    if (!this.#up) return;
    this.#redis.ping().catch((error: Error) => {
      this.#lastError = error.message;
    });
  }

  /** Drops the connection and makes a new one. */
  recycle(): void {
    if (this.#up) this.#redis.disconnect(true);
  }

  #goUp(): void {
    this.#up = true;
    this.#connection += 1;
    this.#backlogBytes = 0;
    this.#events.onUp();
  }

  #goDown(): void {
    if (!this.#up) return;
    this.#up = false;
    this.#connection += 1;
    this.#backlogBytes = 0;
    if (!this.#stopped) this.#events.onDown(this.#lastError);
  }
}
