import { randomFillSync } from 'node:crypto';
import type { Clock } from '../../kernel/clock.ts';

const ORDER_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
/** Ids made in one millisecond are numbered here; more than this many borrow from the next. */
const PER_MS = 4_096;

/** UUIDv7: sorts by time, and within one process strictly in the order of making. */
export function createIds(clock: Clock): () => string {
  const noise = Buffer.alloc(8);
  let [lastMs, count] = [0, 0];
  return () => {
    const nowMs = Math.max(clock.now(), lastMs);
    count = nowMs === lastMs ? count + 1 : 0;
    lastMs = nowMs + (count === PER_MS ? 1 : 0);
    if (count === PER_MS) count = 0;
    randomFillSync(noise);
    noise[0] = (noise[0]! & 0x3f) | 0x80;
    const time = lastMs.toString(16).padStart(12, '0');
    const tail = noise.toString('hex');
    const serial = count.toString(16).padStart(3, '0');
    return `${time.slice(0, 8)}-${time.slice(8)}-7${serial}-${tail.slice(0, 4)}-${tail.slice(4)}`;
  };
}

/** Anything else names no order of ours and must not reach a query. */
export function isOrderId(text: string): boolean {
  return ORDER_ID.test(text);
}
