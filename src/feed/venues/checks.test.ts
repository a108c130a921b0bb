import { describe, expect, it } from 'vitest';
import type { CcxtBook } from '../ccxt-surface.ts';
import { binance } from './binance.ts';
import { coinbase } from './coinbase.ts';
import { kucoin } from './kucoin.ts';
import { okx } from './okx.ts';
import type { CheckContext, Finding, Frame, FrameCheck, VenueQuirks } from './quirks.ts';

const CONNECTION = {};

function watching(quirks: VenueQuirks, nonce?: number): { check: FrameCheck; book: CcxtBook } {
  const book = { nonce } as CcxtBook;
  const context: CheckContext = { symbolOf: () => 'A/B', market: () => undefined, book: () => book };
  return { check: quirks.check!(context), book };
}
/** `.`: passes, `-`: ccxt must not see it, `!`: doubt. */
function verdicts(check: FrameCheck, frames: readonly Frame[]): string {
  const of = (finding: Finding | undefined): string => (finding?.doubt ? '!' : finding?.drop ? '-' : '.');
  return frames.map((frame) => of(check.before?.(frame, CONNECTION))).join('');
}

describe('Binance', () => {
  const diff = (U: unknown, u: unknown): Frame => ({ e: 'depthUpdate', s: 'AB', U, u, b: [], a: [] });
  const trade = (t: unknown): Frame => ({ e: 'trade', s: 'AB', t });

  it('doubts a hole between changes and drops what has been before', () => {
    const { check } = watching(binance);
    expect(verdicts(check, [diff(1, 3), diff(4, 4), diff(4, 4), diff(2, 3), diff(5, 9), diff(11, 12)])).toBe('..--.!');
  });

  it('takes ids that came as text and refuses what is none', () => {
    const { check } = watching(binance);
    expect(verdicts(check, [diff(1, '2'), diff('3', 4), diff(null, 5), diff(5, 'x'), diff(5, 5.5), diff(5, 6)])).toBe(
      '..---.',
    );
    expect(verdicts(check, [{ ...diff(7, 8), b: 'x' }, { ...diff(7, 8), s: 5 }, diff(7, 8)])).toBe('--.');
  });

  it('does not call a book whole that lags behind the changes seen', () => {
    const { check, book } = watching(binance);
    verdicts(check, [diff(5, 9)]);
    for (const [nonce, whole] of [
      [undefined, false],
      [8, false],
      [9, true],
      [20, true],
    ] as const) {
      book.nonce = nonce;
      expect(check.complete!('A/B', book)).toBe(whole);
    }
  });

  it('doubts missing trades, not late or repeated ones, and follows a numbering that starts over', () => {
    const { check } = watching(binance);
    expect(verdicts(check, [10, 11, 13, 12, 13, 14].map(trade))).toBe('..!...');
    expect(verdicts(check, [1_000_000, 5, 6].map(trade))).toBe('!!.');
  });
});

describe('Coinbase', () => {
  const frame = (sequence_num: unknown): Frame => ({ channel: 'l2_data', sequence_num, events: [] });

  it('doubts the whole connection after a lost message, and drops repeated ones', () => {
    const { check } = watching(coinbase);
    expect(verdicts(check, [0, 1, 1, 0, 2].map(frame))).toBe('..--.');
    expect(check.before!(frame(4), CONNECTION)!.doubt!.about).toBe('connection');
    expect(check.before!(frame(0), {})).toBeUndefined();
    expect(verdicts(check, [frame('x'), frame(undefined), { ...frame(5), events: null }])).toBe('---');
  });
});

describe('KuCoin', () => {
  const change = (sequenceStart: unknown, sequenceEnd: unknown, symbol = 'A-B'): Frame => ({
    subject: 'trade.l2update',
    topic: '/market/level2:A-B',
    data: { symbol, sequenceStart, sequenceEnd, changes: {} },
  });

  it('doubts a hole also while the snapshot is awaited, where ccxt would apply what it has', () => {
    const { check } = watching(kucoin);
    expect(verdicts(check, [change(5, 6), change(7, 7), change(7, 7), change(9, 9)])).toBe('..-!');
  });

  it('doubts a change that does not follow the snapshot', () => {
    expect(verdicts(watching(kucoin, 100).check, [change(101, 103), change(102, 104)])).toBe('..');
    const { check, book } = watching(kucoin);
    verdicts(check, [change(5, 6)]);
    book.nonce = 50;
    expect(verdicts(check, [change(7, 8), change(52, 52)])).toBe('.!');
  });

  it('refuses changes of another market on this topic, and without numbers', () => {
    const { check } = watching(kucoin);
    expect(verdicts(check, [change(1, 1, 'C-D'), change(null, 1), change(1, 'x')])).toBe('---');
  });
});

describe('OKX', () => {
  const update = (prevSeqId: unknown, seqId: unknown): Frame => ({
    arg: { channel: 'books', instId: 'A-B' },
    action: 'update',
    data: [{ prevSeqId, seqId }],
  });

  it('doubts a change that names another one before it, and passes recordings without ids', () => {
    const { check } = watching(okx, 10);
    expect(verdicts(check, [update(10, 12), update(9, 10), update(11, 13), update(undefined, undefined)])).toBe('.-!.');
  });
});
