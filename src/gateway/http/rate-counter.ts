import type { Clock } from '../../kernel/clock.ts';
import type { Log } from '../../platform/log.ts';

export const RATE_WINDOW_MS = 60_000;
/** Clients counted at a time; past it the one counted longest ago starts anew. */
const KEYS_LIMIT = 20_000;
/** After a failure the store is left alone for this long, so that requests do not each wait for its timeout. */
const STORE_PAUSE_MS = 1_000;
const KEY_PREFIX = 'tidewire:rate:';
const SCRIPT = `local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return {count, redis.call('PTTL', KEYS[1])}`;

/** An ioredis client, as far as counting needs it. */
export type RateStore = Readonly<{
  eval(script: string, keys: number, ...values: (string | number)[]): Promise<unknown>;
}>;
export type Count = Readonly<{ used: number; resetMs: number }>;

/**
 * Counts within fixed windows of a minute: here always, and over all processes where there is a store. The larger count holds,
 * so that neither a store that is away nor one that came back empty lets anybody do more than this process saw.
 */
export class RateCounter {
  readonly #windows = new Map<string, { used: number; endsMs: number }>();
  readonly #deps: Readonly<{ clock: Clock; log: Log; store: RateStore | null }>;
  #storeRestsUntilMs = 0;

  constructor(deps: Readonly<{ clock: Clock; log: Log; store: RateStore | null }>) {
    this.#deps = deps;
  }

  /** What this process knows, without counting. */
  peek(key: string): Count {
    const nowMs = this.#deps.clock.monotonic();
    const window = this.#windows.get(key);
    return window === undefined || window.endsMs <= nowMs
      ? { used: 0, resetMs: 0 }
      : { used: window.used, resetMs: window.endsMs - nowMs };
  }

  async hit(key: string): Promise<Count> {
    const here = this.#hitHere(key);
    const everywhere = await this.#hitStore(key);
    return everywhere !== null && everywhere.used > here.used ? everywhere : here;
  }

  #hitHere(key: string): Count {
    const nowMs = this.#deps.clock.monotonic();
    const known = this.#windows.get(key);
    const window = known !== undefined && known.endsMs > nowMs ? known : { used: 0, endsMs: nowMs + RATE_WINDOW_MS };
    window.used += 1;
    this.#windows.delete(key);
    this.#windows.set(key, window);
    if (this.#windows.size > KEYS_LIMIT) this.#windows.delete(this.#windows.keys().next().value!);
    return { used: window.used, resetMs: window.endsMs - nowMs };
  }

  async #hitStore(key: string): Promise<Count | null> {
    const { store, clock, log } = this.#deps;
    if (store === null || clock.monotonic() < this.#storeRestsUntilMs) return null;
    try {
      const [used, resetMs] = (await store.eval(SCRIPT, 1, KEY_PREFIX + key, RATE_WINDOW_MS)) as [number, number];
      return { used, resetMs: Math.max(0, resetMs) };
    } catch (error) {
      this.#storeRestsUntilMs = clock.monotonic() + STORE_PAUSE_MS;
      log.warn({ event: 'rate_store_away', err: error });
      return null;
    }
  }
}
