import type { Clock } from '../../kernel/clock.ts';
import type { Random } from '../../kernel/random.ts';

const RANDOM_SPACE = 36 ** 6;

/** Epoch names: opaque, short, and never the same twice: start time and chance tell processes apart, a counter the rest. */
export function createEpochs(clock: Clock, random: Random): () => string {
  const process = Math.trunc(clock.now()).toString(36) + Math.floor(random() * RANDOM_SPACE).toString(36);
  let count = 0;
  return () => {
    count += 1;
    return `${process}.${count.toString(36)}`;
  };
}
