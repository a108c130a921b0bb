import type { Envelope, StreamMessage } from './messages.ts';

/** One message with its wire text, made once and shared by all its receivers; `frames` caches what each door derives from it. */
export class PreparedMessage {
  readonly message: StreamMessage;
  readonly frames: Record<string, unknown> = {};
  readonly #now: () => number;
  #json: string | undefined;

  constructor(message: StreamMessage, now: () => number) {
    this.message = message;
    this.#now = now;
  }

  /** The envelope as JSON. `sentTs` is when the first receiver's copy was made. */
  get json(): string {
    if (this.#json === undefined) {
      const envelope: Envelope = { ...this.message, sentTs: this.#now() };
      this.#json = JSON.stringify(envelope);
    }
    return this.#json;
  }
}
