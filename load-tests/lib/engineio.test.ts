import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodePacket, encodeConnect, encodeEvent } from './engineio.ts';

// Frames as socket.io 4.8 sends them.
const FRAMES: [string, ReturnType<typeof decodePacket>][] = [
  ['0{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":16384}', { type: 'open' }],
  ['40{"sid":"b"}', { type: 'connected' }],
  ['44{"message":"not allowed"}', { type: 'refused', message: '{"message":"not allowed"}' }],
  ['42["message",{"stream":"s","seq":1}]', { type: 'event', name: 'message', data: { stream: 's', seq: 1 } }],
  ['42["welcome"]', { type: 'event', name: 'welcome', data: undefined }],
  ['431[{"result":[]}]', { type: 'ack', id: 1, data: { result: [] } }],
  ['43127[{"error":{"code":"internal"}}]', { type: 'ack', id: 127, data: { error: { code: 'internal' } } }],
  ['2', { type: 'ping' }],
  ['3', { type: 'pong' }],
  ['41', { type: 'close' }],
  ['1', { type: 'close' }],
  ['6', { type: 'noop' }],
];

describe('Engine.IO framing', () => {
  test.each(FRAMES)('%s', (frame, packet) => {
    expect(decodePacket(frame)).toEqual(packet);
  });

  test('what a server could never have sent is unknown, never a crash', () => {
    for (const text of ['', '4', '42', '42{}', '42[1]', '43[1]', '43x[1]', '431', '45-["binary"]', '9', '42["cut']) {
      expect(decodePacket(text).type, text).toBe('unknown');
    }
    fc.assert(fc.property(fc.string(), (text) => void decodePacket(text)));
  });

  test('requests are framed as socket.io-client frames them', () => {
    expect(encodeConnect()).toBe('40');
    expect(encodeConnect({ token: 't' })).toBe('40{"token":"t"}');
    expect(encodeEvent(1, 'subscribe', { streams: ['a'] })).toBe('421["subscribe",{"streams":["a"]}]');
    expect(encodeEvent(12, 'ping')).toBe('4212["ping"]');
  });
});
