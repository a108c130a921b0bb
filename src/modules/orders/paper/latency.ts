import { seedFrom, seededRandom } from '../../../kernel/random.ts';

/** A delay between a command and its effect at the exchange, as a log-normal distribution through two measured points. */
export type Delay = Readonly<{ medianMs: number; p99Ms: number }>;
export type VenueLatency = Readonly<{ submit: Delay; cancel: Delay }>;

/** Nobody's network is faster, and a draw from the far tail would look like a lost order. */
const DELAY_LIMITS_MS = { min: 1, max: 5_000 } as const;
/** The 99th percentile of the standard normal distribution. */
const Z99 = 2.326_347_874;

/**
 * The same for the same command, whichever process draws and however often: it depends on the seed, the order and the time of
 * the command only, so that a restart does not draw again.
 */
export function drawDelayMs(
  delay: Delay,
  command: Readonly<{ seed: number; orderId: string; kind: string; commandedAtMs: number }>,
): number {
  const random = seededRandom(seedFrom(`${command.seed}/${command.orderId}/${command.kind}/${command.commandedAtMs}`));
  // Box and Muller; 1 - random() is never 0.
  const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const sigma = Math.log(Math.max(1, delay.p99Ms / delay.medianMs)) / Z99;
  const drawn = delay.medianMs * Math.exp(sigma * normal);
  return Math.round(Math.min(DELAY_LIMITS_MS.max, Math.max(DELAY_LIMITS_MS.min, drawn)));
}
