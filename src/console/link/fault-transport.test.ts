import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { Envelope, InboundFrame, Transport, TransportHandlers } from '../../client/index.ts';
import { faultTransport } from './fault-transport.ts';

const HOLD_MS = 8_000;
let opened: { handlers: TransportHandlers; abandoned: boolean }[];
let told: string[];
let passed: Envelope[];

const inner: Transport = {
  connect(handlers) {
    const connection = { handlers, abandoned: false };
    opened.push(connection);
    return { send: () => undefined, abandon: () => void (connection.abandoned = true) };
  },
};
const handlers: TransportHandlers = {
  onOpen: () => told.push('open'),
  onFrame: (frame) => told.push(frame.type === 'message' ? `message ${frame.envelope.seq}` : frame.type),
  onClose: (code, reason) => told.push(`close ${code} ${reason}`),
};
function message(stream: string, seq: number, kind: Envelope['kind'] = 'delta'): InboundFrame {
  return { type: 'message', envelope: { stream, epoch: 'e', seq, kind, ingestTs: 0, sentTs: 0, data: {} } };
}

beforeEach(() => {
  vi.useFakeTimers();
  opened = [];
  told = [];
  passed = [];
  return () => vi.useRealTimers();
});

describe('a connection that can be broken by hand', () => {
  it('passes everything on, in order, while nobody breaks it', () => {
    const { transport } = faultTransport(inner, (envelope) => passed.push(envelope));
    transport.connect(handlers);
    opened[0]!.handlers.onOpen();
    opened[0]!.handlers.onFrame(message('book:a', 1));
    opened[0]!.handlers.onFrame({ type: 'ignored' });
    expect(told).toEqual(['open', 'message 1', 'ignored']);
    expect(passed.map((each) => each.seq)).toEqual([1]);
  });

  it('loses exactly one change of the stream that was named, and no snapshot', () => {
    const { transport, faults } = faultTransport(inner, (envelope) => passed.push(envelope));
    transport.connect(handlers);
    const skipped: number[] = [];
    faults.skipNext('book:a', (envelope) => skipped.push(envelope.seq));
    const receive = opened[0]!.handlers.onFrame;
    for (const frame of [
      message('trades:a', 1),
      message('book:a', 2, 'snapshot'),
      message('book:a', 3),
      message('book:a', 4),
    ])
      receive(frame);
    expect(skipped).toEqual([3]);
    expect(told).toEqual(['message 1', 'message 2', 'message 4']);
  });

  it('that was cut is over at once, like a pulled cable, and nothing gets through before the time is over', () => {
    const { transport, faults } = faultTransport(inner, () => undefined);
    transport.connect(handlers);
    faults.cut(HOLD_MS);
    expect(opened[0]!.abandoned).toBe(true);
    expect(told).toEqual(['close 1006 cut by hand']);
    transport.connect(handlers);
    vi.advanceTimersByTime(HOLD_MS - 1);
    expect(opened).toHaveLength(1);
    vi.advanceTimersByTime(1);
    expect(opened).toHaveLength(2);
  });

  it('that is given up while it waits never opens', () => {
    const { transport, faults } = faultTransport(inner, () => undefined);
    faults.cut(HOLD_MS);
    transport.connect(handlers).abandon();
    vi.advanceTimersByTime(HOLD_MS);
    expect(opened).toHaveLength(0);
  });
});
