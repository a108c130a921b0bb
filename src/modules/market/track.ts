import type { StreamState } from '../../protocol/messages.ts';
import type { StreamSpec } from '../../protocol/streams.ts';
import type { StreamLine } from './stream-line.ts';

/** The sequencer's half of one upstream: its content, and the lines that are published from it. */
export interface Track {
  /** `spec` belongs to this track's channel. Opening twice answers the same line. */
  open(spec: StreamSpec): StreamLine;
  close(name: string): void;
  /** What is known can no longer be believed, and why. */
  doubt(state: StreamState): void;
  /**
   * From the next data on, the sources are to be believed (again). `confirmed`: they said so themselves, so that even no data
   * is an answer. May be called again and again.
   */
  trust(confirmed: boolean): void;
  /** The market's precision became known or changed. */
  marketChanged(): void;
  /** Stops the timers. */
  stop(): void;
}

/** Counts something from an exchange that was not fit to be passed on. */
export type Refuse = (reason: string) => void;

/** The lines of a track whose streams all carry the same content. */
export class LineGroup {
  readonly #lines = new Map<string, StreamLine>();
  readonly #make: (name: string) => StreamLine;
  #state: StreamState | null = null;
  #flowing = false;

  constructor(make: (name: string) => StreamLine) {
    this.#make = make;
  }

  get flowing(): boolean {
    return this.#flowing;
  }

  get inDoubt(): boolean {
    return this.#state !== null;
  }

  open(name: string): StreamLine {
    const known = this.#lines.get(name);
    if (known !== undefined) return known;
    const line = this.#make(name);
    this.#lines.set(name, line);
    if (this.#state !== null) line.adoptDoubt(this.#state);
    else if (this.#flowing) line.adopt();
    return line;
  }

  close(name: string): void {
    this.#lines.delete(name);
  }

  trust(): void {
    this.#state = null;
  }

  doubt(state: StreamState): void {
    this.#state = state;
    this.#flowing = false;
    for (const line of this.#lines.values()) line.doubt(state);
  }

  /** To every line: a fresh start where one is due, else the message that `publish` sends. */
  tell(begin: (line: StreamLine) => void, publish: (line: StreamLine) => void): void {
    this.#flowing = true;
    for (const line of this.#lines.values()) (line.flowing ? publish : begin)(line);
  }
}
