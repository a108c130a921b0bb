import { beforeEach, describe, expect, it } from 'vitest';
import { LEAST_FRAME_GAP_MS, createFrameLoop } from './frame-loop.ts';

let now: number;
let frames: (() => void)[];
let waits: { callback: () => void; ms: number }[];
const clock = {
  now: () => now,
  requestFrame: (callback: () => void) => void frames.push(callback),
  wait: (callback: () => void, ms: number) => void waits.push({ callback, ms }),
};
const nextFrame = (): void => frames.splice(0).forEach((callback) => callback());

beforeEach(() => {
  now = 1_000;
  frames = [];
  waits = [];
});

describe('drawing', () => {
  it('happens once a frame, however many messages came', () => {
    const loop = createFrameLoop(clock);
    let drawn = 0;
    const draw = (): void => void (drawn += 1);
    for (let message = 0; message < 500; message++) loop.mark(draw);
    expect([frames.length, drawn]).toEqual([1, 0]);
    nextFrame();
    expect(drawn).toBe(1);
  });

  it('is at once when the page was calm, and paced when it was not', () => {
    const loop = createFrameLoop(clock);
    loop.mark(() => undefined);
    nextFrame();
    now += 10;
    loop.mark(() => undefined);
    expect([frames.length, waits[0]?.ms]).toEqual([0, LEAST_FRAME_GAP_MS - 10]);
    waits[0]!.callback();
    now += LEAST_FRAME_GAP_MS;
    nextFrame();
    now += LEAST_FRAME_GAP_MS;
    loop.mark(() => undefined);
    expect(frames).toHaveLength(1);
  });

  it('of what is no longer on the page does not happen', () => {
    const loop = createFrameLoop(clock);
    const draw = (): void => expect.unreachable();
    loop.mark(draw);
    loop.forget(draw);
    nextFrame();
  });

  it('that marks itself again waits for the next frame', () => {
    const loop = createFrameLoop(clock);
    let drawn = 0;
    const draw = (): void => {
      drawn += 1;
      loop.mark(draw);
    };
    loop.mark(draw);
    nextFrame();
    expect(drawn).toBe(1);
  });
});
