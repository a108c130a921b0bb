import { Socket } from 'node:net';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { HandshakeGate } from './handshake-gate.ts';
import type { HandshakeCounts } from './handshake-gate.ts';

let nowMs = 0;
let counts: HandshakeCounts;
const gates: HandshakeGate[] = [];

function gateOf(pace: { capacity: number; refillPerSecond: number; waitingLimit: number }): HandshakeGate {
  const gate = new HandshakeGate(pace, () => nowMs, counts);
  gates.push(gate);
  return gate;
}

async function pass(ms: number): Promise<void> {
  for (let step = 0; step < ms; step++) {
    nowMs += 1;
    await vi.advanceTimersByTimeAsync(1);
  }
}

beforeEach(() => {
  nowMs = 0;
  counts = { waiting: 0, atOnce: 0, inTurn: 0, abandoned: 0, refused: 0 };
  vi.useFakeTimers();
});
afterEach(() => {
  for (const gate of gates.splice(0)) gate.stop();
  vi.useRealTimers();
});

it('a storm of handshakes passes at the rate, in the order of arrival, and what is too much is refused', async () => {
  const gate = gateOf({ capacity: 10, refillPerSecond: 100, waitingLimit: 50 });
  const passed: number[] = [];
  const entered = Array.from({ length: 80 }, (_, index) => gate.enter(new Socket(), () => void passed.push(index)));
  expect(passed).toHaveLength(10);
  expect(entered.filter((each) => !each)).toHaveLength(20);
  expect(counts).toEqual({ waiting: 50, atOnce: 10, inTurn: 0, abandoned: 0, refused: 20 });
  await pass(100);
  expect(passed.length).toBeGreaterThanOrEqual(19);
  expect(passed.length).toBeLessThanOrEqual(20);
  await pass(500);
  expect(passed).toEqual(Array.from({ length: 60 }, (_, index) => index));
  expect(gate.waiting).toBe(0);
  expect(counts).toEqual({ waiting: 0, atOnce: 10, inTurn: 50, abandoned: 0, refused: 20 });
});

it('whoever comes while others wait does not overtake them', async () => {
  const gate = gateOf({ capacity: 1, refillPerSecond: 1_000, waitingLimit: 10 });
  const passed: string[] = [];
  gate.enter(new Socket(), () => void passed.push('first'));
  gate.enter(new Socket(), () => void passed.push('second'));
  nowMs += 1;
  gate.enter(new Socket(), () => void passed.push('third'));
  expect(passed).toEqual(['first']);
  await pass(10);
  expect(passed).toEqual(['first', 'second', 'third']);
});

it('a client that gives up while it waits leaves nothing behind and takes nobody`s turn', async () => {
  const gate = gateOf({ capacity: 1, refillPerSecond: 10, waitingLimit: 10 });
  const passed: string[] = [];
  gate.enter(new Socket(), () => undefined);
  const impatient = new Socket();
  gate.enter(impatient, () => void passed.push('impatient'));
  gate.enter(new Socket(), () => void passed.push('patient'));
  impatient.destroy();
  await pass(1);
  expect(gate.waiting).toBe(1);
  await pass(110);
  expect(passed).toEqual(['patient']);
  expect(counts).toEqual({ waiting: 0, atOnce: 1, inTurn: 1, abandoned: 1, refused: 0 });
});

it('a gate that is stopped leaves nobody waiting in the figures, however late their sockets close', () => {
  const gate = gateOf({ capacity: 1, refillPerSecond: 1, waitingLimit: 10 });
  const sockets = [new Socket(), new Socket(), new Socket()];
  for (const socket of sockets) gate.enter(socket, () => undefined);
  expect(counts.waiting).toBe(2);
  gate.stop();
  for (const socket of sockets) socket.emit('close');
  expect(counts).toEqual({ waiting: 0, atOnce: 1, inTurn: 0, abandoned: 0, refused: 0 });
});
