import type { Envelope, StreamMessage } from './messages.ts';

/** One message with its wire text, made once and shared by all its receivers; `frames` caches what each door derives from it. */
export class PreparedMessage {
  readonly message: StreamMessage;
  readonly frames: Record<string, unknown> = {};
  readonly #now: () => number;
  #messageJson: string | undefined;
  #json: string | undefined;

  /** `messageJson`: the message as JSON text ending in its brace, where it is at hand. */
  constructor(message: StreamMessage, now: () => number, messageJson?: string) {
    this.message = message;
    this.#now = now;
    this.#messageJson = messageJson;
  }

  /** The envelope as JSON. `sentTs` is when the first receiver's copy was made. */
  get json(): string {
    if (this.#json === undefined) {
      if (this.#messageJson === undefined) {
        const envelope: Envelope = { ...this.message, sentTs: this.#now() };
        this.#json = JSON.stringify(envelope);
      } else {
        this.#json = `${this.#messageJson.slice(0, -1)},"sentTs":${this.#now()}}`;
        this.#messageJson = undefined;
      }
    }
    return this.#json;
  }
}
