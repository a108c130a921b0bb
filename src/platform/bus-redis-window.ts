/** More than a window should ever hold: then it ends at once. */
const WAITING_LIMIT_FRAMES = 1_000;
const WAITING_LIMIT_CHARS = 1_048_576;

type Send = (channel: string, text: string) => void;

/**
 * Keeps frames until a window ends and then sends all of them in one turn of the event loop: many small bursts cost Redis and
 * every process behind it a wake-up each. Frames keep their order.
 */
export class SendWindow {
  readonly #send: Send;
  #waiting: [channel: string, text: string][] = [];
  #chars = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(send: Send) {
    this.#send = send;
  }

  /** `windowMs`: how long this frame may wait at most; 0: it leaves now, and what waits before it. */
  add(channel: string, text: string, windowMs: number): void {
    if (windowMs === 0 && this.#waiting.length === 0) return this.#send(channel, text);
    this.#waiting.push([channel, text]);
    this.#chars += text.length;
    const isFull = this.#waiting.length >= WAITING_LIMIT_FRAMES || this.#chars >= WAITING_LIMIT_CHARS;
    if (windowMs === 0 || isFull) return this.flush();
    this.#timer ??= setTimeout(() => this.flush(), windowMs);
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#chars = 0;
    for (const [channel, text] of waiting) this.#send(channel, text);
  }
}
