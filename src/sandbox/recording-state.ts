import type { Timeframe } from '../protocol/streams.ts';
import { CandleKeeper } from './candle-keeper.ts';
import type { Decoded, DecodedSnapshot } from './decoders/decoder.ts';
import { DepthBook, levelsBetween } from './depth-book.ts';
import type { Survey } from './recording-survey.ts';
import { TradeIds } from './trade-ids.ts';
import type { TapeBook, TapeCandle, TapeEvent, TapeTicker, TapeTrade } from './tape.ts';

/** Trades kept per symbol for REST; the most that any of the venues answers at once. */
const TRADES_LIMIT = 1000;
/** Book events kept while a recorded gap waits for a recorded snapshot that mends it. */
const PENDING_LIMIT_EVENTS = 5000;
/** Exchange time between the last event of one pass and the first of the next. */
const WRAP_GAP_MS = 100;

type BookEvent = Extract<TapeEvent, { kind: 'book' }>;
type SymbolState = {
  symbol: string;
  /** Absent: the recording never shows a whole book, so its changes are passed on but no book is answered. */
  book?: DepthBook;
  /** The first whole book. It stands from the start of a pass; changes older than it are of no use to anyone and are left out. */
  initial?: DecodedSnapshot;
  /** False until the in-band snapshot's own place on the tape in this pass. */
  reached: boolean;
  /** Set while the recording itself has a hole: changes since then. */
  pending?: BookEvent[];
  leastId: number;
  greatestId: number;
  idShift: number;
  tradeIds: TradeIds;
  trades: TapeTrade[];
  ticker?: TapeTicker;
  candles: CandleKeeper;
};

/** Everything a recording's exchange knows at the playing position, and the numbering that lets it play in a loop. */
export class RecordingState {
  readonly #symbols = new Map<string, SymbolState>();
  readonly #survey: Survey;
  #pass = 0;
  #shiftMs = 0;
  #firstTs = Number.POSITIVE_INFINITY;
  #lastTs = 0;

  constructor(survey: Survey) {
    this.#survey = survey;
    for (const market of survey.markets) this.#stateOf(market.symbol);
  }

  /** The latest exchange time played, Unix milliseconds. */
  get now(): number {
    return this.#lastTs;
  }

  /** Takes a recorded item in and answers the events to play, numbered and timed for this pass. */
  take(item: Decoded): TapeEvent[] {
    const state = this.#stateOf(item.symbol);
    const own = item.kind === 'snapshot' ? this.#snapshot(state, item) : this.#event(state, item);
    const ts = own.at(-1)?.ts ?? 0;
    if (ts > this.#lastTs) this.#lastTs = ts;
    if (this.#pass === 0 && ts > 0 && ts < this.#firstTs) this.#firstTs = ts;
    for (const each of this.#symbols.values()) if (ts >= each.candles.dueTs) own.push(...each.candles.due(ts));
    return own;
  }

  /** Begins the next pass: every book turns from its end into its start by one ordinary change, ids and times go on. */
  wrap(): TapeEvent[] {
    this.#pass += 1;
    if (Number.isFinite(this.#firstTs)) this.#shiftMs = this.#lastTs + WRAP_GAP_MS - this.#firstTs;
    this.#lastTs += 1;
    return [...this.#symbols.values()].flatMap((state) => this.#wrapSymbol(state));
  }

  book(symbol: string): TapeBook | undefined {
    const state = this.#symbols.get(symbol);
    return state?.pending === undefined ? state?.book : undefined;
  }

  trades(symbol: string, limit: number): readonly TapeTrade[] {
    return this.#symbols.get(symbol)?.trades.slice(-limit) ?? [];
  }

  ticker(symbol: string): TapeTicker | undefined {
    return this.#symbols.get(symbol)?.ticker;
  }

  candles(symbol: string, timeframe: Timeframe, limit: number): readonly TapeCandle[] {
    return this.#symbols.get(symbol)?.candles.candles(timeframe, limit) ?? [];
  }

  #stateOf(symbol: string): SymbolState {
    const known = this.#symbols.get(symbol);
    if (known !== undefined) return known;
    const state: SymbolState = {
      symbol,
      reached: false,
      leastId: Number.POSITIVE_INFINITY,
      greatestId: 0,
      idShift: 0,
      tradeIds: new TradeIds(),
      trades: [],
      candles: new CandleKeeper(symbol, this.#survey.candles.get(symbol) ?? []),
    };
    const initial = this.#survey.snapshots.get(symbol);
    if (initial !== undefined) {
      state.initial = initial;
      state.book = new DepthBook();
      state.book.replace({ ...initial, lastId: initial.lastId === 0 ? 1 : initial.lastId });
      this.#sawId(state, state.book.lastId);
    }
    this.#symbols.set(symbol, state);
    return state;
  }

  #event(state: SymbolState, item: TapeEvent): TapeEvent[] {
    switch (item.kind) {
      case 'book':
        return this.#bookEvent(state, item);
      case 'top': {
        const event = { ...this.#moved(item), id: item.id + state.idShift };
        this.#sawId(state, event.id);
        return [event];
      }
      case 'trade': {
        const event = { ...this.#moved(item), id: state.tradeIds.take(item.id, this.#shiftMs) };
        state.trades.push(event);
        if (state.trades.length > 2 * TRADES_LIMIT) state.trades = state.trades.slice(-TRADES_LIMIT);
        return [...state.candles.trade(event), event];
      }
      case 'ticker':
        state.ticker = item;
        return [this.#moved(item)];
      case 'candle':
        // Its open time cannot be moved off the grid of its timeframe, so later passes are made of the trades alone.
        if (this.#pass > 0) return [];
        state.candles.record(item);
        return [item];
    }
  }

  /** The event at this pass's time. Past the first pass it is no longer the frame that was recorded. */
  #moved<T extends TapeEvent>(item: T): T {
    if (this.#pass === 0) return item;
    const { raw: _raw, ...rest } = item;
    return { ...rest, ts: item.ts + this.#shiftMs } as T;
  }

  #bookEvent(state: SymbolState, item: BookEvent): TapeEvent[] {
    const { book } = state;
    if (book === undefined) return [this.#moved({ ...item, ...this.#shiftedIds(state, item) })];
    if (item.lastId === 0) return state.reached ? [this.#played(book, this.#numbered(state, book, item))] : [];
    const ids = this.#shiftedIds(state, item);
    if (ids.lastId <= book.lastId && state.pending === undefined) return [];
    this.#sawId(state, ids.lastId);
    const event = this.#moved({ ...item, ...ids });
    if (state.pending !== undefined || !follows(event, book.lastId)) {
      state.pending = [...(state.pending ?? []), event].slice(-PENDING_LIMIT_EVENTS);
      return [event];
    }
    // The first change after a snapshot may start before it. A client that comes from the last pass expects no overlap.
    if (this.#pass === 0) return [this.#played(book, event)];
    const previous = event.previousId === undefined ? {} : { previousId: book.lastId };
    return [this.#played(book, { ...event, ...previous, firstId: Math.max(event.firstId, book.lastId + 1) })];
  }

  #played(book: DepthBook, event: BookEvent): BookEvent {
    book.apply(event);
    if (this.#survey.bookDepth !== undefined) book.cut(this.#survey.bookDepth);
    return event;
  }

  #numbered(state: SymbolState, book: DepthBook, item: BookEvent): BookEvent {
    const id = book.lastId + 1;
    this.#sawId(state, id);
    return { ...this.#moved(item), firstId: id, lastId: id };
  }

  #shiftedIds(state: SymbolState, item: BookEvent): { firstId: number; lastId: number; previousId?: number } {
    const ids = { firstId: item.firstId + state.idShift, lastId: item.lastId + state.idShift };
    return item.previousId === undefined ? ids : { ...ids, previousId: item.previousId + state.idShift };
  }

  #sawId(state: SymbolState, id: number): void {
    if (id > state.greatestId) state.greatestId = id;
    if (this.#pass === 0 && id > 0 && id < state.leastId) state.leastId = id;
  }

  #snapshot(state: SymbolState, item: DecodedSnapshot): TapeEvent[] {
    const { book } = state;
    if (book === undefined) return [];
    if (!item.inBand) return this.#restSnapshot(state, book, item);
    if (!state.reached) {
      state.reached = true;
      return [];
    }
    // The recorder reconnected. Its clients here did not, so the difference reaches them as a change.
    const lastId = Math.max(book.lastId + 1, item.lastId + state.idShift);
    this.#sawId(state, lastId);
    delete state.pending;
    return [this.#bridge(book, item, lastId, item.ts + this.#shiftMs)];
  }

  /** A recorded REST answer matters only where the recording had a hole: it makes the book known again. */
  #restSnapshot(state: SymbolState, book: DepthBook, item: DecodedSnapshot): TapeEvent[] {
    const lastId = item.lastId + state.idShift;
    if (state.pending === undefined) return [];
    const later = state.pending.filter((event) => event.lastId > lastId);
    if (later[0] !== undefined && !follows(later[0], lastId)) return [];
    book.replace({ ...item, lastId });
    for (const event of later) book.apply(event);
    delete state.pending;
    return [];
  }

  #wrapSymbol(state: SymbolState): TapeEvent[] {
    state.candles.deriveAll();
    state.tradeIds.wrap();
    state.reached = false;
    const { book, initial } = state;
    if (Number.isFinite(state.leastId)) state.idShift = state.greatestId + 1 - state.leastId;
    if (book === undefined || initial === undefined) return [];
    const lastId = initial.lastId === 0 ? state.greatestId + 1 : initial.lastId + state.idShift;
    delete state.pending;
    this.#sawId(state, lastId);
    return [this.#bridge(book, initial, lastId, this.#lastTs)];
  }

  /** Replaces the book and answers the change that does the same for whoever follows it. */
  #bridge(book: DepthBook, to: DecodedSnapshot, lastId: number, ts: number): BookEvent {
    const firstId = book.lastId + 1;
    const bids = levelsBetween(book.bids, to.bids);
    const asks = levelsBetween(book.asks, to.asks);
    const event: BookEvent = { kind: 'book', symbol: to.symbol, ts, firstId, lastId, bids, asks };
    book.replace({ lastId, ts, bids: to.bids, asks: to.asks });
    return event;
  }
}

/** True when the change directly continues a book at `lastId`. */
function follows(event: BookEvent, lastId: number): boolean {
  if (event.firstId <= lastId + 1) return true;
  return event.previousId !== undefined && event.previousId === lastId;
}
