/** Time as an argument: `now` is Unix milliseconds, `monotonic` is milliseconds that never step back. */
export interface Clock {
  now(): number;
  monotonic(): number;
}
