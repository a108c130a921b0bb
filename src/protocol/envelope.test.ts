import { expect, it } from 'vitest';
import { PreparedMessage } from './envelope.ts';
import type { StreamMessage } from './messages.ts';

it('a message that came as text leaves as the same envelope as one that did not', () => {
  const message: StreamMessage = {
    stream: 'trades:alpha:BTC/USDT',
    epoch: 'e',
    seq: 7,
    kind: 'update',
    exchangeTs: 3,
    ingestTs: 4,
    data: { trades: [{ id: '"}', price: '1', size: '2', side: null, ts: 5 }] },
  };
  const made = new PreparedMessage(message, () => 6);
  const sentOn = new PreparedMessage(message, () => 6, JSON.stringify(message));
  expect(sentOn.json).toBe(made.json);
  expect(JSON.parse(sentOn.json)).toEqual({ ...message, sentTs: 6 });
});

it('is stamped once, when the first receiver asks', () => {
  const message: StreamMessage = { stream: 'ticker:a:b', epoch: 'e', seq: 1, kind: 'update', ingestTs: 1, data: {} };
  for (const text of [undefined, JSON.stringify(message)]) {
    let nowMs = 10;
    const prepared = new PreparedMessage(message, () => nowMs, text);
    nowMs = 20;
    const first = prepared.json;
    nowMs = 30;
    expect([first, prepared.json].map((json) => (JSON.parse(json) as { sentTs: number }).sentTs)).toEqual([20, 20]);
  }
});
