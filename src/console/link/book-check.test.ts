import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { Book } from '../../client/index.ts';
import { createBookCheck } from './book-check.ts';

const book = (seq: number, checksum: number): Book => ({
  stream: 's',
  epoch: 'e',
  seq,
  bids: [],
  asks: [],
  checksum,
  provedSeq: seq,
  ingestTs: 0,
});
const reading = (seq: number, checksum: number, epoch = 'e') => ({ epoch, seq, data: { checksum } });

beforeEach(() => {
  vi.useFakeTimers();
  return () => vi.useRealTimers();
});

describe('holding the page against REST', () => {
  it('compares at exactly the same place: an earlier or later book proves nothing', async () => {
    const check = createBookCheck();
    check.remember(book(1, 11));
    check.remember(book(2, 22));
    expect(await check.compare(reading(1, 11))).toMatchObject({ outcome: 'agrees' });
    expect(await check.compare(reading(2, 11))).toMatchObject({ outcome: 'differs' });
  });

  it('waits for its own stream to reach the place that REST told of', async () => {
    const check = createBookCheck();
    const verdict = check.compare(reading(5, 55));
    check.remember(book(4, 44));
    check.remember(book(5, 55));
    expect(await verdict).toMatchObject({ outcome: 'agrees' });
  });

  it('does not claim to agree where it was never: another epoch, or a place that was skipped', async () => {
    const check = createBookCheck();
    check.remember(book(5, 55));
    const verdict = check.compare(reading(5, 55, 'other'));
    await vi.advanceTimersByTimeAsync(3_000);
    expect(await verdict).toMatchObject({ outcome: 'unknown' });
  });
});
