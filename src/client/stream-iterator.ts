import { BoundedQueue } from '../kernel/bounded-queue.ts';
import { ClientError } from './client-error.ts';

/**
 * What a `for await` loop reads from. `limit` 1 with `latestWins` keeps only the newest item; otherwise a loop that falls
 * behind by `limit` items gets those it is owed and then a `ClientError` (`iterator_overflow`), never a silent hole.
 */
export class StreamIterator<T> implements AsyncIterableIterator<T> {
  readonly #stream: string;
  readonly #queue: BoundedQueue<T>;
  readonly #latestWins: boolean;
  readonly #onFinished: () => void;
  #waiting: { resolve(result: IteratorResult<T>): void; reject(error: ClientError): void } | undefined;
  #ended = false;
  #error: ClientError | undefined;

  constructor(stream: string, limits: { limit: number; latestWins: boolean }, onFinished: () => void) {
    this.#stream = stream;
    this.#queue = new BoundedQueue(limits.limit);
    this.#latestWins = limits.latestWins;
    this.#onFinished = onFinished;
  }

  push(item: T): void {
    if (this.#ended) return;
    if (this.#waiting) {
      this.#waiting.resolve({ done: false, value: item });
      this.#waiting = undefined;
      return;
    }
    if (this.#latestWins) this.#queue.takeAll();
    if (this.#queue.offer(item)) return;
    const message = `the loop over ${this.#stream} is ${this.#queue.limit} items behind`;
    this.end(new ClientError('iterator_overflow', message, { stream: this.#stream }));
  }

  /** No more items. Those that wait are still handed out, then the loop ends, with `error` if there is one. */
  end(error?: ClientError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (error) waiting?.reject(error);
    else waiting?.resolve({ done: true, value: undefined });
    this.#onFinished();
  }

  async next(): Promise<IteratorResult<T>> {
    const item = this.#queue.take();
    if (item !== undefined) return { done: false, value: item };
    if (this.#ended) {
      const error = this.#error;
      this.#error = undefined;
      if (error) throw error;
      return { done: true, value: undefined };
    }
    if (this.#waiting) throw new TypeError('next() was called before the last one was answered');
    return await new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  async return(): Promise<IteratorResult<T>> {
    this.#queue.takeAll();
    this.end();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
