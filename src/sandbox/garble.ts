import type { Random } from '../kernel/random.ts';
import type { GarbageKind } from './fault-script.ts';

/** Larger than any client should accept from an exchange's ordinary stream, far below what would hurt the sandbox. */
const HUGE_FRAME_BYTES = 4 * 1024 * 1024;
const BINARY_FRAME_BYTES = 64;
/** The first decimal in a frame is a price or a size at every venue: quoted, or bare as at Kraken. */
const DECIMAL = /("?)\b(\d+\.\d+)\b\1/;

/** A broken version of a frame, as networks and exchanges have been seen to produce them. */
export function garbled(text: string, kind: GarbageKind, random: Random): string | Buffer {
  const decimal = (replacement: string): string => {
    const changed = text.replace(DECIMAL, replacement);
    // A frame without a decimal (a deletion) has nothing to spoil; half of it is garbage as well.
    return changed === text ? text.slice(0, text.length >> 1) : changed;
  };
  switch (kind) {
    case 'truncated':
      return text.slice(0, 1 + Math.floor(random() * (text.length - 1)));
    case 'binary':
      return Buffer.from(Array.from({ length: BINARY_FRAME_BYTES }, () => Math.floor(random() * 256)));
    case 'types':
      return decimal(['{}', 'null', '[]', 'true', '"abc"'][Math.floor(random() * 5)]!);
    case 'nan':
      return decimal('"NaN"');
    case 'infinity':
      return decimal('$11e309$1');
    case 'negative':
      return decimal('$1-$2$1');
    case 'symbol':
      return text.replaceAll(/("(?:s|symbol|product_id|instId)"\s*:\s*")[^"]*"/g, '$1NOSUCH-PAIR"');
    case 'huge':
      return text.replace(/^\{/, `{"padding":"${'x'.repeat(HUGE_FRAME_BYTES)}",`);
  }
}
