import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SIGNAL_TEXT_LIMIT_BYTES } from '../platform/signals.ts';
import type { SignalTopic, Signals } from '../platform/signals.ts';

/** Two ends that hear each other: one object, or two processes' signals over one Redis. */
export type SignalsPair = Readonly<{ here: Signals; there: Signals; stop(): Promise<void> }>;

const WAIT = { timeout: 15_000, interval: 5 };

/** Collects what is heard; `end` stops. */
export function hearSignals(signals: Signals, topic: SignalTopic) {
  const heard: string[] = [];
  return { heard, end: signals.subscribe(topic, (text) => heard.push(text)) };
}

/** Publishes until it is heard, because a subscription takes its time to reach others and nothing says when it has. */
export async function untilHeard(from: Signals, topic: SignalTopic, heard: readonly string[]): Promise<void> {
  await vi.waitFor(() => {
    from.publish(topic, 'ping');
    expect(heard).toContain('ping');
  }, WAIT);
}

/** The guarantees that every implementation of `Signals` gives. */
export function describeSignals(name: string, makePair: () => Promise<SignalsPair>): void {
  describe(`${name}: signals`, () => {
    const topic = 'user-events/7';
    let pair: SignalsPair;

    beforeEach(async () => {
      pair = await makePair();
    });
    afterEach(() => pair.stop());

    it('are heard by their own process before publish returns, in order', () => {
      const { heard } = hearSignals(pair.here, topic);
      for (let count = 0; count < 1_000; count++) pair.here.publish(topic, `${count}`);
      expect(heard).toEqual(Array.from({ length: 1_000 }, (_, index) => `${index}`));
    });

    it('are heard by another process once and in order', async () => {
      const { heard } = hearSignals(pair.there, topic);
      await untilHeard(pair.here, topic, heard);
      for (let count = 0; count < 2_000; count++) pair.here.publish(topic, `${count}`);
      await vi.waitFor(() => expect(heard.at(-1)).toBe('1999'), WAIT);
      expect(heard.filter((text) => text !== 'ping')).toEqual(Array.from({ length: 2_000 }, (_, index) => `${index}`));
    });

    it('carry any text whole, and drop one that is too long without harm to the publisher', async () => {
      const { heard } = hearSignals(pair.there, topic);
      await untilHeard(pair.here, topic, heard);
      const texts = ['', '\n', 'a\nb', 'é€😀', '{"a":1}', 'x'.repeat(SIGNAL_TEXT_LIMIT_BYTES)];
      for (const text of [...texts, 'x'.repeat(SIGNAL_TEXT_LIMIT_BYTES + 1), '€'.repeat(21_846), 'end']) {
        pair.here.publish(topic, text);
      }
      await vi.waitFor(() => expect(heard.at(-1)).toBe('end'), WAIT);
      expect(heard.filter((text) => text !== 'ping')).toEqual([...texts, 'end']);
    });

    it('are not heard by those who listen to something else, nor by those who left', async () => {
      const other = hearSignals(pair.there, 'user-events/8');
      const gone = hearSignals(pair.there, topic);
      const { heard } = hearSignals(pair.there, topic);
      await untilHeard(pair.here, topic, heard);
      gone.end();
      gone.end();
      const before = gone.heard.length;
      pair.here.publish(topic, 'late');
      await vi.waitFor(() => expect(heard.at(-1)).toBe('late'), WAIT);
      expect(gone.heard).toHaveLength(before);
      expect(other.heard).toEqual([]);
    });

    it('are heard again by who left and came back at once', async () => {
      for (let round = 0; round < 20; round++) {
        const first = hearSignals(pair.there, topic);
        first.end();
        const second = hearSignals(pair.there, topic);
        await untilHeard(pair.here, topic, second.heard);
        second.end();
      }
    });

    it('go on past a listener that throws, and keep one order when a listener publishes, comes or goes', () => {
      const late: string[] = [];
      pair.here.subscribe(topic, () => {
        throw new Error('listener');
      });
      const end = pair.here.subscribe(topic, (text) => {
        if (text !== 'first') return;
        pair.here.publish(topic, 'second');
        pair.here.subscribe(topic, (heard) => late.push(heard));
        end();
      });
      const { heard } = hearSignals(pair.here, topic);
      pair.here.publish(topic, 'first');
      pair.here.publish(topic, 'third');
      expect(heard).toEqual(['first', 'second', 'third']);
      expect(late).toEqual(['second', 'third']);
    });

    it('say nothing more once they were stopped', async () => {
      const { heard } = hearSignals(pair.here, topic);
      await pair.here.stop();
      pair.here.publish(topic, 'nobody');
      expect(heard).toEqual([]);
    });
  });
}
