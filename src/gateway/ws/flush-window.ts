import { AT_ONCE } from './egress.ts';

/** Longer windows would be felt. */
export const FLUSH_WINDOW_LIMIT_MS = 50;
/** A stream slower than this waits for nobody: what it has to say is rare, and worth having at once. */
const UNPACED_PER_SECOND = 2;
/** Counted over half a second, a steady pace looks up to so much faster than it is. */
const PACE_TOLERANCE = 1.2;
/** Few lengths, so that the windows of different streams mostly end together. */
const WINDOWS_MS = [50, 25, 10, 5] as const;
/** Below this, in all, every message leaves at once: there is time enough. About a tenth of what one core can do. */
export const BUSY_FRAMES_PER_SECOND = 20_000;
/** A connection waits for windows when it would get so many frames in one; with fewer, waiting gains nothing. */
export const GATHER_FROM_FRAMES = 4;

/**
 * How long a stream's messages may wait for those of others that go to the same socket: no longer than its own messages are
 * apart, so that what is sent is never older than the stream's own pace.
 */
export function windowOf(messagesPerSecond: number, longestMs: number): number {
  if (longestMs <= 0 || messagesPerSecond < UNPACED_PER_SECOND) return 0;
  const mostMs = Math.min(longestMs, (1_000 / messagesPerSecond) * PACE_TOLERANCE);
  return WINDOWS_MS.find((windowMs) => windowMs <= mostMs) ?? Math.min(longestMs, WINDOWS_MS.at(-1)!);
}

/** Windows of one length end for all at the same moment: equal subscriptions then get equal rows. */
export function endOfWindow(nowMs: number, windowMs: number): number {
  return windowMs === 0 ? AT_ONCE : (Math.floor(nowMs / windowMs) + 1) * windowMs;
}
