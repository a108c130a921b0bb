/** What draws at most once per animation frame, however often it was marked. */
export interface FrameLoop {
  /** `draw` runs in the next frame; marking it again before then changes nothing. */
  mark(draw: () => void): void;
  forget(draw: () => void): void;
  /** Called after each frame that drew something. */
  onFrame: (() => void) | undefined;
  readonly frames: number;
}

/** A hidden page gets no frames: what is marked meanwhile is a set of functions, each once, so nothing piles up. */
export function createFrameLoop(requestFrame: (callback: () => void) => unknown): FrameLoop {
  const marked = new Set<() => void>();
  let asked = false;
  const loop = {
    frames: 0,
    onFrame: undefined as (() => void) | undefined,
    mark(draw: () => void): void {
      marked.add(draw);
      if (asked) return;
      asked = true;
      requestFrame(run);
    },
    forget: (draw: () => void) => void marked.delete(draw),
  };
  function run(): void {
    asked = false;
    const draws = [...marked];
    marked.clear();
    loop.frames += 1;
    for (const draw of draws) draw();
    loop.onFrame?.();
  }
  return loop;
}
