import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ScriptedServer } from '../testing/scripted-server.ts';
import { createClient } from './index.ts';
import type { Client, ClientError, ConnectionState } from './index.ts';

const STREAM = 'book:sim:BTC/USDT:25:100ms';
const half = (): number => 0.5;
const backoff = { baseMs: 1_000, maxMs: 8_000, factor: 2, jitter: 0.5 };

describe('a connection', () => {
  let server: ScriptedServer;
  let client: Client;
  let errors: ClientError[];
  let states: ConnectionState[];
  const statuses = (): string[] => states.map((state) => state.status);

  beforeEach(() => {
    vi.useFakeTimers();
    server = new ScriptedServer(half);
    errors = [];
    states = [];
  });
  afterEach(() => {
    client.close();
    vi.useRealTimers();
  });

  function open(options: object = {}): void {
    client = createClient({
      transport: server,
      random: half,
      backoff,
      onError: (error) => errors.push(error),
      onConnection: (state) => states.push(state),
      ...options,
    });
  }

  async function subscribe(stream = STREAM): Promise<ReturnType<Client['subscribe']>> {
    const subscription = client.subscribe(stream);
    server.deliver();
    await vi.advanceTimersByTimeAsync(0);
    server.deliver();
    return subscription;
  }

  test('a server that is away is not hammered: pauses double up to their limit', async () => {
    server.refuseConnects = true;
    open();
    const at: number[] = [];
    const started = Date.now();
    for (let count = server.connects; server.connects < 7;) {
      await vi.advanceTimersByTimeAsync(100);
      if (server.connects > count) at.push(Date.now() - started);
      count = server.connects;
    }
    const pauses = at.map((time, index) => Math.round((time - (at[index - 1] ?? 0)) / 1_000));
    expect(pauses).toEqual([1, 2, 4, 8, 8, 8]);
  });

  test('two clients that were cut at one moment do not come back at one moment', () => {
    const delays = [0, 0.99].map((value) => {
      const away = new ScriptedServer(half);
      away.refuseConnects = true;
      client = createClient({ transport: away, backoff, random: () => value });
      vi.advanceTimersByTime(1);
      const cutAt = Date.now();
      while (away.connects < 2) vi.advanceTimersByTime(10);
      client.close();
      return Date.now() - cutAt;
    });
    expect(delays[1]! - delays[0]!).toBeGreaterThan(900);
  });

  test('a drained client returns at the moment that the server chose for it', async () => {
    open();
    await subscribe();
    server.event('draining', { afterMs: 4_321 });
    server.deliver();
    await vi.advanceTimersByTimeAsync(4_320);
    expect(server.connects).toBe(1);
    await vi.advanceTimersByTimeAsync(2);
    expect(server.connects).toBe(2);
  });

  test('a terminal close code is the end, told once and to every loop; a code that invites back is not', async () => {
    open();
    const subscription = await subscribe();
    server.cut(3_008, 'slow_consumer');
    await vi.advanceTimersByTimeAsync(1_001);
    expect(server.connects).toBe(2);
    const loop = subscription[Symbol.asyncIterator]();
    const waiting = expect(loop.next()).rejects.toMatchObject({ code: 'stopped' });
    server.cut(3_509, 'abuse');
    await waiting;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(server.connects).toBe(2);
    expect(client.connection).toMatchObject({ status: 'stopped', reason: 'abuse (3509)' });
    expect(subscription.state).toMatchObject({ status: 'down' });
    expect(errors.map((error) => error.code)).toEqual(['stopped']);
    expect(() => client.ticker('sim', 'BTC/USDT')).toThrow('has stopped');
  });

  test('a closing event counts where the transport hides the close code', async () => {
    open();
    await subscribe();
    server.event('closing', { code: 3_507, reason: 'forbidden', reconnect: false });
    server.deliver();
    server.cut(1_006, 'transport close');
    await vi.advanceTimersByTimeAsync(60_000);
    expect([server.connects, client.connection.reason]).toEqual([1, 'forbidden (3507)']);
  });

  test('a connection that went silent is doubted, asked and then given up, and nothing on it is called live meanwhile', async () => {
    open();
    const subscription = await subscribe();
    expect(subscription.state.status).toBe('live');
    await vi.advanceTimersByTimeAsync(8_800);
    expect(subscription.state.status).toBe('stale');
    expect(server.requests.at(-1)?.method).toBe('ping');
    await vi.advanceTimersByTimeAsync(5_000);
    expect(subscription.state.status).toBe('disconnected');
    expect(statuses().slice(0, 4)).toEqual(['connecting', 'open', 'silent', 'waiting']);
  });

  test('an answer to that question turns doubt back into trust', async () => {
    open();
    const subscription = await subscribe();
    await vi.advanceTimersByTimeAsync(8_800);
    server.deliver();
    expect(subscription.state.status).toBe('live');
    expect(client.connection.status).toBe('open');
  });

  test('a server that accepts and then says nothing does not hold a client for ever', async () => {
    open();
    await vi.advanceTimersByTimeAsync(12_600);
    expect(server.connects).toBe(2);
  });

  test('a request without a reply does not leave its streams waiting for ever', async () => {
    open();
    server.losesReplies = true;
    const subscription = await subscribe();
    for (let beat = 0; beat < 3; beat++) {
      expect(subscription.state.status).not.toBe('live');
      server.heartbeat();
      server.deliver();
      await vi.advanceTimersByTimeAsync(5_000);
    }
    expect(client.connection.status).not.toBe('stopped');
    server.losesReplies = false;
    server.deliver();
    await vi.advanceTimersByTimeAsync(2_000);
    server.deliver();
    expect(server.connects).toBe(2);
    expect(subscription.state.status).toBe('live');
  });

  test('a frame that the protocol does not know is counted and reported, and the rest goes on', async () => {
    open();
    const subscription = await subscribe();
    server.inject({ type: 'malformed', problem: 'not JSON' });
    server.inject({ type: 'ignored' });
    server.deliver();
    expect(errors.map((error) => error.code)).toEqual(['malformed_frame']);
    expect(client.counters.malformed).toBe(1);
    expect(subscription.state.status).toBe('live');
  });

  test('a constructor that throws ends the client instead of looping', () => {
    class Forbidden {
      constructor() {
        throw new Error('blocked by policy');
      }
    }
    client = createClient({
      url: 'http://localhost:1',
      transport: Forbidden as never,
      onError: (error) => errors.push(error),
    });
    expect(client.connection).toMatchObject({ status: 'stopped' });
    expect(errors[0]?.message).toContain('blocked by policy');
  });
});
