import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../platform/log.ts';
import type { Timeframe } from '../protocol/streams.ts';
import type { Decoded, Decoder } from './decoders/decoder.ts';
import { mergedLines } from './recording-files.ts';
import type { RecordedLine } from './recording-files.ts';
import { RecordingState } from './recording-state.ts';
import type { Survey } from './recording-survey.ts';
import type {
  SandboxVenue,
  TapeBook,
  TapeCandle,
  TapeEvent,
  TapeMarket,
  TapeSource,
  TapeTicker,
  TapeTrade,
} from './tape.ts';

/** Longest stretch without giving sockets and timers a turn. */
const SLICE_MS = 8;
/** Waits shorter than this are not worth a timer. */
const LEAST_WAIT_MS = 1;
/** A longer hole on the tape is a stopped recorder, not a quiet exchange, and is shortened to this. */
const HOLE_LIMIT_US = 30_000_000;

export type RecordingOptions = Readonly<{
  /** 1: recorded pace, N: N times faster, 0: as fast as clients take it. */
  speed: number;
  /** Play again from the start for ever, or stand still at the end. */
  loop: boolean;
  log: Log;
  /** Monotonic milliseconds. */
  monotonic?: () => number;
}>;

/** Plays recorded lines of one venue. Memory is bounded by the books and one read-ahead chunk per file. */
export class RecordingSource implements TapeSource {
  readonly venue: SandboxVenue;
  readonly origin = 'recording';
  readonly markets: readonly TapeMarket[];
  readonly numbered: boolean;
  readonly bookDepth: number | undefined;
  /** Resolves when the tape has been played once to its end (with `loop`: when the source is stopped). */
  readonly finished: Promise<void>;
  readonly #files: readonly string[];
  readonly #decoder: Decoder;
  readonly #state: RecordingState;
  readonly #options: RecordingOptions;
  readonly #abort = new AbortController();
  #finish: () => void = () => {};
  #started = false;
  passes = 0;
  /** Why the tape broke off, if it did. */
  failure: Error | undefined;

  constructor(files: readonly string[], decoder: Decoder, survey: Survey, options: RecordingOptions) {
    this.venue = decoder.venue;
    this.markets = survey.markets;
    this.numbered = survey.numbered;
    this.bookDepth = survey.bookDepth;
    this.#files = files;
    this.#decoder = decoder;
    this.#state = new RecordingState(survey);
    this.#options = options;
    this.finished = new Promise((resolve) => {
      this.#finish = resolve;
    });
  }

  now(): number {
    return this.#state.now;
  }

  start(sink: (event: TapeEvent) => void, drained?: () => Promise<void> | undefined): void {
    if (this.#started) return;
    this.#started = true;
    this.#play(sink, drained)
      .catch((error: unknown) => {
        if (this.#abort.signal.aborted && (error as Error).name === 'AbortError') return;
        this.failure = error instanceof Error ? error : new Error(String(error));
        this.#options.log.error({ event: 'recording_failed', venue: this.venue, err: this.failure });
      })
      .finally(this.#finish);
  }

  stop(): void {
    this.#abort.abort();
    if (!this.#started) this.#finish();
  }

  book(symbol: string): TapeBook | undefined {
    return this.#state.book(symbol);
  }

  trades(symbol: string, limit: number): readonly TapeTrade[] {
    return this.#state.trades(symbol, limit);
  }

  ticker(symbol: string): TapeTicker | undefined {
    return this.#state.ticker(symbol);
  }

  candles(symbol: string, timeframe: Timeframe, limit: number): readonly TapeCandle[] {
    return this.#state.candles(symbol, timeframe, limit);
  }

  async #play(sink: (event: TapeEvent) => void, drained?: () => Promise<void> | undefined): Promise<void> {
    const { log, loop } = this.#options;
    for (;;) {
      const events = await this.#playOnce(sink, drained);
      if (this.#abort.signal.aborted) return;
      this.passes += 1;
      if (this.passes === 1) log.info({ event: 'recording_ended', venue: this.venue, frames: events, loop });
      if (!loop || events === 0) return;
      for (const event of this.#state.wrap()) sink(event);
    }
  }

  async #playOnce(sink: (event: TapeEvent) => void, drained?: () => Promise<void> | undefined): Promise<number> {
    const monotonic = this.#options.monotonic ?? (() => performance.now());
    const pace = new Pace(this.#options.speed, monotonic);
    let played = 0;
    for await (const batch of mergedLines(this.#files)) {
      for (const line of batch) {
        // REST answers were fetched when the recorder liked; only the exchange's own frames have a pace.
        const waitMs = line.type === 'recv' ? pace.waitMs(line.tsUs) : 0;
        if (waitMs > 0 || pace.sliceOver()) {
          if (waitMs > 0) await sleep(waitMs, undefined, { signal: this.#abort.signal });
          else await nextTurn();
          // At a pace of its own an exchange waits for nobody; as fast as possible means as fast as clients take it.
          if (this.#options.speed === 0) await drained?.();
          pace.newSlice();
        }
        if (this.#abort.signal.aborted) return played;
        for (const item of this.#decode(line)) for (const event of this.#state.take(item)) sink(event);
        played += 1;
      }
    }
    return played;
  }

  #decode(line: RecordedLine): readonly Decoded[] {
    try {
      if (line.type === 'recv') return this.#decoder.frame(line.raw, Math.floor(line.tsUs / 1000));
      if (line.type !== 'http') return [];
      const fact = this.#decoder.http(line.url, line.raw);
      return fact?.kind === 'snapshot' ? [fact] : [];
    } catch (error) {
      // Counted and logged by the survey; a tape with a broken frame plays on without it.
      if (error instanceof SyntaxError) return [];
      throw error;
    }
  }
}

/** When the next line is due, and when to let others run. */
class Pace {
  readonly #speed: number;
  readonly #monotonic: () => number;
  readonly #startMs: number;
  #lastUs: number | undefined;
  #elapsedUs = 0;
  #sliceStartMs: number;

  constructor(speed: number, monotonic: () => number) {
    this.#speed = speed;
    this.#monotonic = monotonic;
    this.#startMs = monotonic();
    this.#sliceStartMs = this.#startMs;
  }

  waitMs(tsUs: number): number {
    this.#elapsedUs += Math.min(HOLE_LIMIT_US, tsUs - (this.#lastUs ?? tsUs));
    this.#lastUs = tsUs;
    if (this.#speed === 0) return 0;
    const dueMs = this.#startMs + this.#elapsedUs / 1000 / this.#speed;
    const waitMs = dueMs - this.#monotonic();
    return waitMs >= LEAST_WAIT_MS ? waitMs : 0;
  }

  sliceOver(): boolean {
    return this.#monotonic() - this.#sliceStartMs > SLICE_MS;
  }

  newSlice(): void {
    this.#sliceStartMs = this.#monotonic();
  }
}
