import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Book, BookDepth, BookRate, ValueSubscription } from '../../client/index.ts';
import type { Market } from '../../protocol/market.ts';
import { stepsOf } from '../book-levels.ts';
import { createBookLadder } from '../view/book-ladder.ts';
import { useLink, useStream } from './hooks.ts';
import type { Stream } from './hooks.ts';
import { Panel } from './panel.tsx';

/** Where the page scrolls. */
const ROWS_OTHERWISE = 12;

export type BookPanelProps = Readonly<{
  market: Market;
  /** A side; default: as many as fit. */
  rows?: number;
  name?: string;
  title?: string;
  onPrice?: (price: string) => void;
}>;

/** The order book as a ladder. Grouped it reads the deepest tier, since a step swallows many levels. */
export function BookPanel({ market, rows, name = 'book', title = 'Order book', onPrice }: BookPanelProps): JSX.Element {
  const [step, setStep] = useState<string | null>(null);
  const [depth, rate]: [BookDepth, BookRate] = step === null ? [25, '100ms'] : [100, '250ms'];
  const host = useRef<HTMLDivElement>(null);
  const fitting = useFittingRows(host, ROWS_OTHERWISE);
  const setup = { market, depth, rate, step, rows: rows ?? fitting, ...(onPrice ? { onPrice } : {}) };
  const stream = useLadder(host, setup);
  const steps = stepsOf(tickOf(market), stream.subscription?.last?.bids[0]?.[0]);
  const grouping = (
    <label>
      <span class="visually-hidden">Group prices by</span>
      <select value={step ?? ''} onChange={(event) => setStep(event.currentTarget.value || null)}>
        <option value="">{tickOf(market)}</option>
        {steps.map((each) => (
          <option key={each} value={each}>
            {each}
          </option>
        ))}
      </select>
    </label>
  );
  return (
    <Panel name={name} title={title} actions={grouping} stream={stream}>
      <div class="ladder-host" ref={host} />
    </Panel>
  );
}

export function tickOf(market: Market): string {
  if (market.tickSize !== null) return market.tickSize;
  return market.priceDecimals === 0 ? '1' : `0.${'0'.repeat(market.priceDecimals - 1)}1`;
}

type LadderSetup = Readonly<{
  market: Market;
  depth: BookDepth;
  rate: BookRate;
  step: string | null;
  rows: number;
  onPrice?: (price: string) => void;
}>;

/** Wide enough for the ladder to have a column of its own, whose height decides how many rows there are. */
const OWN_COLUMN = '(min-width: 64.01rem)';
const ROWS_LIMITS = { min: 6, max: 25 };
/** Rows that are not rungs, in rows: the head and the spread. */
const OTHER_ROWS = 4;

/** As many rows a side as fit; `otherwise` where the page scrolls and everything fits. */
export function useFittingRows(host: { current: HTMLElement | null }, otherwise: number): number {
  const [rows, setRows] = useState(otherwise);
  useEffect(() => {
    const body = host.current?.parentElement;
    if (!body) return;
    const fit = (): void => {
      const rung = body.querySelector<HTMLElement>('.rung:not(.head)')?.offsetHeight ?? 0;
      if (!matchMedia(OWN_COLUMN).matches || rung === 0) return setRows(otherwise);
      const fitting = Math.floor((body.clientHeight / rung - OTHER_ROWS) / 2);
      setRows(Math.min(ROWS_LIMITS.max, Math.max(ROWS_LIMITS.min, fitting)));
    };
    const observer = new ResizeObserver(fit);
    observer.observe(body);
    return () => observer.disconnect();
  }, [host, otherwise]);
  return rows;
}

/** A ladder in `host` that draws the newest book once a frame. */
function useLadder(host: { current: HTMLDivElement | null }, setup: LadderSetup): Stream<ValueSubscription<Book>> {
  const { market, depth, rate, step, rows, onPrice } = setup;
  const { venue, symbol } = market;
  const { frames } = useLink();
  const draw = useRef<(() => void) | null>(null);
  const mark = (): void => {
    if (draw.current) frames.mark(draw.current);
  };
  const key = `${venue}:${symbol}:${depth}:${rate}`;
  const stream = useStream(key, (client, { onState }) =>
    client.book(venue, symbol, {
      depth,
      rate,
      onUpdate: mark,
      onState(state) {
        onState(state);
        mark();
      },
    }),
  );
  const { subscription } = stream;
  useEffect(() => {
    if (!host.current) return;
    const label = `Order book of ${symbol} at ${venue}`;
    const ladder = createBookLadder(host.current, { rows, label, ...(onPrice ? { onPrice } : {}) });
    // The last book stays on screen while its stream is in doubt: dimmed, with the reason above it.
    let shown: Book | null = null;
    const drawBook = (): void => {
      shown = subscription?.last ?? shown;
      ladder.draw(shown, step);
    };
    draw.current = drawBook;
    frames.mark(drawBook);
    return () => {
      draw.current = null;
      frames.forget(drawBook);
      ladder.remove();
    };
  }, [subscription, rows, step, frames, onPrice, symbol, venue]);
  return stream;
}
