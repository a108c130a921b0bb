import { describe, expect, it } from 'vitest';
import { FEED_LIMITS } from './settings.ts';
import { UpstreamWatch } from './upstream-watch.ts';

const at = (monotonicMs: number) => ({ unixMs: 1_700_000_000_000 + monotonicMs, monotonicMs });
const watch = (channel: 'book' | 'trades'): UpstreamWatch =>
  new UpstreamWatch({ channel, venue: 'x', symbol: 'A/B' }, FEED_LIMITS, () => 0.5, at(0));

describe('UpstreamWatch', () => {
  it('calls a frozen book silent, never a market without trades', () => {
    for (const channel of ['book', 'trades'] as const) {
      const upstream = watch(channel);
      expect(upstream.silent(1e9)).toBe(false);
      upstream.enter('live', 'verified', at(0));
      for (let ms = 500; ms <= 10_000; ms += 500) upstream.heard(ms);
      expect(upstream.silent(12_000)).toBe(false);
      expect(upstream.silent(10_000 + FEED_LIMITS.silence.maxMs + 1)).toBe(channel === 'book');
    }
  });

  it('asks again with growing pauses while nothing newer comes, and starts over once it has', () => {
    const upstream = watch('book');
    upstream.enter('live', 'verified', at(0));
    upstream.enter('stale', 'silence', at(20_000));
    const asked: number[] = [];
    for (let ms = 20_000; ms < 260_000; ms += 200) if (upstream.dueNudge(ms) === 'silence') asked.push(ms);
    const pauses = asked.slice(1).map((ms, index) => ms - asked[index]!);
    expect(asked[0]).toBe(20_000);
    expect(pauses.slice(0, 4)).toEqual([5_000, 10_000, 20_000, 40_000]);
    expect(Math.max(...pauses)).toBe(60_000);
    upstream.enter('live', 'verified', at(300_000));
    expect(upstream.nudges).toBe(0);
    upstream.enter('stale', 'silence', at(400_000));
    expect(upstream.dueNudge(400_000)).toBe('silence');
  });

  it('gives a subscription time before it is called stuck, and leaves what is refused or live alone', () => {
    const upstream = watch('book');
    expect(upstream.dueNudge(FEED_LIMITS.resyncDeadlineMs - 1)).toBeUndefined();
    expect(upstream.dueNudge(FEED_LIMITS.resyncDeadlineMs)).toBe('not verified in time');
    upstream.enter('down', 'not listed', at(20_000));
    expect(upstream.dueNudge(1e9)).toBeUndefined();
    upstream.enter('live', 'verified', at(1e9));
    expect(upstream.dueNudge(2e9)).toBeUndefined();
  });

  it('tells each change of state once', () => {
    const upstream = watch('book');
    expect(upstream.enter('resyncing', 'subscribing', at(5))).toBe(false);
    expect(upstream.enter('live', 'verified', at(7))).toBe(true);
    expect(upstream.enter('live', 'verified', at(9))).toBe(false);
    expect(upstream.state).toEqual({ status: 'live', reason: 'verified', since: at(7).unixMs });
  });
});
