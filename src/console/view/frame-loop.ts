/**
 * Frames that draw are at least so far apart. The fastest books change ten times a second, so nobody sees a difference, but
 * eight panels that each draw when their own message comes would paint the page forty times a second instead of twenty.
 */
export const LEAST_FRAME_GAP_MS = 50;

/** What draws at most once per frame, however often it was marked. */
export interface FrameLoop {
  /** `draw` runs in the next frame; marking it again before then changes nothing. */
  mark(draw: () => void): void;
  forget(draw: () => void): void;
  /** Called after each frame that drew something. */
  onFrame: (() => void) | undefined;
}

export type FrameClock = Readonly<{
  /** Milliseconds. */
  now(): number;
  requestFrame(callback: () => void): void;
  wait(callback: () => void, ms: number): void;
}>;

/** A hidden page gets no frames: what is marked meanwhile is a set of functions, each once, so nothing piles up. */
export function createFrameLoop(clock: FrameClock): FrameLoop {
  const marked = new Set<() => void>();
  let asked = false;
  let lastAtMs = -Infinity;
  const loop: FrameLoop = {
    onFrame: undefined,
    mark(draw) {
      marked.add(draw);
      if (asked) return;
      asked = true;
      const waitMs = lastAtMs + LEAST_FRAME_GAP_MS - clock.now();
      if (waitMs <= 0) clock.requestFrame(run);
      else clock.wait(() => clock.requestFrame(run), waitMs);
    },
    forget: (draw) => void marked.delete(draw),
  };
  function run(): void {
    asked = false;
    lastAtMs = clock.now();
    const draws = [...marked];
    marked.clear();
    for (const draw of draws) draw();
    loop.onFrame?.();
  }
  return loop;
}

export const browserClock: FrameClock = {
  now: () => performance.now(),
  requestFrame: (callback) => void requestAnimationFrame(callback),
  wait: (callback, ms) => void setTimeout(callback, ms),
};
