import { seededRandom } from '../kernel/random.ts';
import { createClient } from '../client/index.ts';
import type { Book, Client, ValueSubscription } from '../client/index.ts';
import type { BookDepth, BookRate } from '../protocol/streams.ts';
import type { MarketTruth } from './book-truth.ts';
import type { CutProxy } from './cut-proxy.ts';
import { startCutProxy } from './cut-proxy.ts';

const TIERS: readonly (readonly [BookDepth, BookRate])[] = [
  [10, '100ms'],
  [25, '100ms'],
  [25, '250ms'],
  [10, '1s'],
];

export type BookClientsOptions = Readonly<{
  port: number;
  venue: string;
  symbols: readonly string[];
  truth: (symbol: string) => MarketTruth;
  clients: number;
  seed: number;
}>;

/** Clients with books, each behind a proxy of its own, that compare every book shown as live with the truth. */
export class BookClients {
  readonly objections: string[] = [];
  /** Books that were shown as live and compared. */
  compared = 0;
  cuts = 0;
  readonly #options: BookClientsOptions;
  readonly #proxies: CutProxy[] = [];
  readonly #clients: Client[] = [];
  readonly #books: { symbol: string; depth: number; subscription: ValueSubscription<Book> }[] = [];
  readonly #random: () => number;

  constructor(options: BookClientsOptions) {
    this.#options = options;
    this.#random = seededRandom(options.seed);
  }

  async start(): Promise<void> {
    for (let index = 0; index < this.#options.clients; index++) {
      const proxy = await startCutProxy({ port: this.#options.port });
      this.#proxies.push(proxy);
      const client = createClient({
        url: `ws://127.0.0.1:${proxy.port}`,
        backoff: { baseMs: 10, maxMs: 200, factor: 2, jitter: 0.5 },
        random: this.#random,
      });
      this.#clients.push(client);
      for (const symbol of this.#options.symbols) this.#open(client, symbol, index);
    }
  }

  /** Cuts every client's connection at random moments, `cuts` times in all, about once per `meanMs` and client. */
  async cutAtRandom(cuts: number, meanMs: number): Promise<void> {
    const share = Math.ceil(cuts / this.#proxies.length);
    await Promise.all(
      this.#proxies.map(async (proxy) => {
        for (let count = 0; count < share;) {
          await pause(2 * meanMs * this.#random());
          if (proxy.connections === 0) continue;
          proxy.cut();
          count += 1;
          this.cuts += 1;
        }
      }),
    );
  }

  /** Books whose last known content is not the truth's last. */
  unfinished(): string[] {
    return this.#books
      .filter(({ symbol, subscription }) => {
        const book = subscription.last;
        return book === null || !this.#options.truth(symbol).isLast(book);
      })
      .map(({ subscription }) => `${subscription.stream} ${subscription.state.status}`);
  }

  live(): number {
    return this.#books.filter(({ subscription }) => subscription.live !== null).length;
  }

  get total(): number {
    return this.#books.length;
  }

  counters(): { reconnects: number; resumes: number; snapshots: number; checksumFailures: number } {
    const sum = { reconnects: 0, resumes: 0, snapshots: 0, checksumFailures: 0 };
    for (const { counters } of this.#clients) {
      for (const key of Object.keys(sum) as (keyof typeof sum)[]) sum[key] += counters[key];
    }
    return sum;
  }

  async stop(): Promise<void> {
    for (const { subscription } of this.#books) subscription.close();
    for (const client of this.#clients) client.close();
    await Promise.all(this.#proxies.map((proxy) => proxy.stop()));
  }

  #open(client: Client, symbol: string, index: number): void {
    const [depth, rate] = TIERS[index % TIERS.length]!;
    const truth = this.#options.truth(symbol);
    const onUpdate = (book: Book): void => {
      this.compared += 1;
      const objection = truth.objection(book);
      if (objection !== null && this.objections.length < 5) this.objections.push(`${book.stream}: ${objection}`);
    };
    const subscription = client.book(this.#options.venue, symbol, { depth, rate, onUpdate });
    this.#books.push({ symbol, depth, subscription });
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
