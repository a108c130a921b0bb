import fc from 'fast-check';
import { crc32 as zlibCrc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { backoffDelayMs } from './backoff.ts';
import { BoundedQueue } from './bounded-queue.ts';
import { crc32 } from './crc32.ts';
import { seededRandom, seedFrom } from './random.ts';
import { TokenBucket } from './token-bucket.ts';

describe('crc32', () => {
  it('agrees with zlib on any ASCII text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme-ascii', maxLength: 400 }), (text) => crc32(text) === zlibCrc32(text)),
    );
  });
});

describe('bounded queue', () => {
  it('keeps order and never exceeds its limit, against a plain array', () => {
    const step = fc.oneof(fc.nat(), fc.constant('take' as const), fc.constant('all' as const));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), fc.array(step, { maxLength: 200 }), (limit, steps) => {
        const queue = new BoundedQueue<number>(limit);
        const model: number[] = [];
        for (const each of steps) {
          if (each === 'take') expect(queue.take()).toBe(model.shift());
          else if (each === 'all') expect(queue.takeAll()).toEqual(model.splice(0));
          else {
            expect(queue.offer(each)).toBe(model.length < limit);
            if (model.length < limit) model.push(each);
          }
          expect(queue.length).toBe(model.length);
        }
      }),
    );
  });
});

describe('token bucket', () => {
  it('gives the burst, then the rate, and no more after a long pause than the burst', () => {
    const bucket = new TokenBucket({ capacity: 40, refillPerSecond: 20 }, 0);
    for (let count = 0; count < 40; count++) expect(bucket.tryTake(0)).toBe(true);
    expect(bucket.tryTake(0)).toBe(false);
    expect(bucket.waitMs(0)).toBe(50);
    expect(bucket.tryTake(50)).toBe(true);
    expect(bucket.tryTake(60)).toBe(false);
    let taken = 0;
    while (bucket.tryTake(1_000_000)) taken += 1;
    expect(taken).toBe(40);
  });

  it('is not refilled by a clock that steps back', () => {
    const bucket = new TokenBucket({ capacity: 1, refillPerSecond: 1 }, 5_000);
    expect(bucket.tryTake(5_000)).toBe(true);
    expect(bucket.tryTake(0)).toBe(false);
    expect(bucket.tryTake(5_500)).toBe(false);
    expect(bucket.tryTake(6_000)).toBe(true);
  });
});

describe('backoff', () => {
  it('grows to its maximum and stays within its jitter', () => {
    const policy = { baseMs: 100, maxMs: 5_000, factor: 2, jitter: 0.2 };
    const random = seededRandom(7);
    for (let attempt = 0; attempt < 50; attempt++) {
      const plainMs = Math.min(5_000, 100 * 2 ** attempt);
      const delayMs = backoffDelayMs(policy, attempt, random);
      expect(delayMs).toBeGreaterThanOrEqual(plainMs * 0.8 - 1);
      expect(delayMs).toBeLessThanOrEqual(plainMs * 1.2 + 1);
    }
  });
});

describe('seeded random', () => {
  it('repeats itself for one seed, differs for another, and fills [0, 1)', () => {
    const draw = (seed: number) => Array.from({ length: 1_000 }, seededRandom(seed));
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
    expect(seedFrom('binance')).not.toBe(seedFrom('kraken'));
    const mean = draw(3).reduce((sum, value) => sum + value, 0) / 1_000;
    expect(mean).toBeGreaterThan(0.45);
    expect(mean).toBeLessThan(0.55);
  });
});
