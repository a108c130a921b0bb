import { createClient } from '../client/index.ts';
import type { Book, Client, PrivateEvent, Subscription, TradeBatch, ValueSubscription } from '../client/index.ts';
import type { Order, PrivateStream } from '../protocol/trading.ts';
import { PRIVATE_STREAMS } from '../protocol/trading.ts';
import { pause } from './book-clients.ts';
import type { MarketTruth } from './book-truth.ts';

const VENUE = 'binance';
const SYMBOL = 'BTC/USDT';
/** Of a limit order to buy: below the market it rests, above it fills. As the server says them. */
export const RESTS = '980';
export const FILLS = '1005';
const PACE_MS = 120;
const OBJECTIONS_KEPT = 5;
const BACKOFF = { baseMs: 50, maxMs: 1_000, factor: 2, jitter: 0.5 };

/** A client of the market: each book shown as live is held against the truth, each trade against the one before. */
export class MarketWatcher {
  readonly objections: string[] = [];
  compared = 0;
  trades = 0;
  /** Announced losses of trades. */
  gaps = 0;
  readonly book: ValueSubscription<Book>;
  readonly #client: Client;
  #lastTrade = 0;

  constructor(url: string, truth: MarketTruth) {
    this.#client = createClient({ url, backoff: BACKOFF, onError: () => undefined });
    this.book = this.#client.book(VENUE, SYMBOL, {
      depth: 10,
      onUpdate: (book) => {
        this.compared += 1;
        const objection = truth.objection(book);
        if (objection !== null) this.#object(objection);
      },
    });
    this.#client.trades(VENUE, SYMBOL, { onUpdate: (batch) => this.#takeTrades(batch) });
  }

  get reconnects(): number {
    return this.#client.counters.reconnects;
  }

  close(): void {
    this.#client.close();
  }

  #takeTrades({ trades, gap }: TradeBatch): void {
    if (gap !== null) {
      this.gaps += 1;
      this.#lastTrade = 0;
    }
    for (const { id } of trades) {
      const number = Number(id);
      // The recording numbers its trades without a hole.
      if (this.#lastTrade > 0 && number !== this.#lastTrade + 1) this.#object(`trade ${this.#lastTrade} -> ${number}`);
      this.#lastTrade = number;
      this.trades += 1;
    }
  }

  #object(objection: string): void {
    if (this.objections.length < OBJECTIONS_KEPT) this.objections.push(objection);
  }
}

/** A user who trades all the time over one socket and keeps every event of the private streams. */
export class SplitTrader {
  readonly client: Client;
  readonly token: string;
  /** Of every order that was acknowledged. */
  readonly acknowledged: string[] = [];
  readonly failures: string[] = [];
  readonly events: Record<PrivateStream, PrivateEvent[]> = { orders: [], portfolio: [], notifications: [] };
  readonly #url: string;
  readonly #private: readonly Subscription<PrivateEvent>[];
  #trading: Promise<void> | null = null;
  #stopping = false;

  private constructor(url: string, token: string) {
    this.#url = url;
    this.token = token;
    this.client = createClient({
      url,
      backoff: BACKOFF,
      authenticate: () => ({ token }),
      onError: () => undefined,
    });
    this.#private = PRIVATE_STREAMS.map((stream) =>
      this.client.events(stream, { onEvent: (event) => void this.events[stream].push(event) }),
    );
  }

  static async register(url: string, email: string): Promise<SplitTrader> {
    const answer = await fetch(`${url}/v1/auth/register`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ email, password: 'a long and plain passphrase 7' }),
    });
    if (answer.status !== 201) throw new Error(`register: ${answer.status} ${await answer.text()}`);
    const { accessToken } = (await answer.json()) as { accessToken: string };
    return new SplitTrader(url, accessToken);
  }

  get reconnects(): number {
    return this.client.counters.reconnects;
  }

  /** All private streams have been joined: what happens from now on must be told. */
  get listens(): boolean {
    return this.#private.every(({ position }) => position !== null);
  }

  async rest<T>(path: string): Promise<T> {
    const answer = await fetch(`${this.#url}${path}`, { headers: { authorization: `Bearer ${this.token}` } });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as T;
  }

  /** Answers what the server acknowledged. */
  async place(price: string): Promise<Order> {
    const { order } = await this.client.trading.place(
      {
        account: 'paper',
        venue: VENUE,
        symbol: SYMBOL,
        side: 'buy',
        type: 'limit',
        quantity: '0.1',
        price,
      },
      { timeoutMs: 30_000 },
    );
    this.acknowledged.push(order.id);
    return order;
  }

  startTrading(): void {
    this.#stopping = false;
    this.#trading = this.#trade();
  }

  /** Resolves when every order on its way has its answer. */
  async stopTrading(): Promise<void> {
    this.#stopping = true;
    await this.#trading;
  }

  async #trade(): Promise<void> {
    for (let count = 0; !this.#stopping; count++) {
      await this.place(count % 16 === 0 ? RESTS : FILLS).catch((error: Error) => this.failures.push(error.message));
      await pause(PACE_MS);
    }
  }
}
