import { afterEach, describe, expect, test } from 'vitest';
import { RawClient, until } from './raw-client-contract.ts';
import { LIVE } from './scripted-market-contract.ts';
import type { ServerRig } from './server-rig-contract.ts';
import { startServer } from './server-rig-contract.ts';
import { applyPush, applyReply, emptyModel } from './model-client-contract.ts';
import type { Envelope, Subscribed } from '../../protocol/messages.ts';
import { EnvelopeSchema, SubscribedSchema, WireErrorSchema } from '../../protocol/messages.ts';
import { CONNECTION_LIMITS } from '../../protocol/limits.ts';

const BOOK = 'book:sandbox:BTC/USDT:25:100ms';
const TRADES = 'trades:sandbox:BTC/USDT';
const TICKER = 'ticker:sandbox:BTC/USDT';

let rig: ServerRig;
afterEach(() => rig.end());

describe.each(['plain', 'socketio'] as const)('%s door', (door) => {
  async function open(options: ConstructorParameters<typeof RawClient>[2] = {}): Promise<RawClient> {
    return new RawClient(door, rig.port, options).welcomed();
  }

  test('the first frame is welcome with every limit, so that a client need not guess', async () => {
    rig = await startServer();
    const client = await open();
    expect(client.log[0]).toMatchObject({ type: 'event', name: 'welcome', data: { protocol: 1 } });
    expect(client.events('welcome')[0]!.limits).toEqual(CONNECTION_LIMITS);
  });

  test('reply, snapshot, deltas: in this order, each valid by its schema, whatever is published meanwhile', async () => {
    rig = await startServer();
    const { market } = rig;
    market.begin(BOOK);
    const client = await open();
    const publishing = setInterval(() => market.delta(BOOK, [[String(50 + (market.line(BOOK).seq % 9)), '1']], []), 0);
    for (let round = 0; round < 20; round++) {
      const { result } = await client.subscribe(BOOK);
      expect(SubscribedSchema.safeParse((result as unknown[])[0]).success).toBe(true);
      const joined = client.envelopes(BOOK).length;
      await until(() => client.envelopes(BOOK).length > joined + 2, 'live deltas');
      await client.request('unsubscribe', { streams: [BOOK] });
    }
    clearInterval(publishing);
    const model = emptyModel();
    for (const entry of client.log) {
      if (entry.type === 'reply' && Array.isArray(entry.reply.result) && 'epoch' in entry.reply.result[0]) {
        applyReply(model, entry.reply.result[0] as Subscribed, undefined);
      } else if (entry.type === 'push') {
        expect(EnvelopeSchema.safeParse(entry.envelope).success).toBe(true);
        applyPush(model, entry.envelope);
      }
    }
    expect(model.received.filter(({ kind }) => kind === 'snapshot').length).toBe(20);
  });

  test('whoever asks for batches gets every push of a window in one message, in order and by the same rules', async () => {
    rig = await startServer();
    const { market } = rig;
    for (const name of [BOOK, TRADES, TICKER]) market.begin(name);
    const [batched, single] = [await open(), await open()];
    await single.subscribe(BOOK, TRADES, TICKER);
    await batched.request('subscribe', { streams: [BOOK, TRADES, TICKER], batch: { windowMs: 10 } });
    for (let round = 0; round < 100; round++) {
      market.delta(BOOK, [[String(50 + (round % 9)), String(round + 1)]], []);
      market.trade(TRADES);
      market.update(TICKER, { last: String(round) });
      if (round % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await batched.request('ping');
    const seqOf = (client: RawClient, name: string): number | undefined => client.envelopes(name).at(-1)?.seq;
    const all = [BOOK, TRADES, TICKER];
    for (const client of [batched, single]) {
      await until(() => all.every((name) => seqOf(client, name) === market.line(name).seq), 'the last push of each');
    }
    for (const name of all) {
      const strip = (envelope: Envelope): object => ({ ...envelope, sentTs: 0 });
      const [ours, theirs] = [batched, single].map((client) => client.envelopes(name).map(strip));
      expect(ours).toEqual(theirs);
      for (const envelope of batched.envelopes(name)) expect(EnvelopeSchema.safeParse(envelope).success).toBe(true);
    }
    const isBatch = (text: string): boolean => text.startsWith('{"batch":[') || text.startsWith('42["batch",[');
    expect(single.frames.some(isBatch)).toBe(false);
    expect(batched.frames.filter(isBatch).length).toBeGreaterThan(0);
    expect(batched.frames.length).toBeLessThan(single.frames.length / 3);
    await batched.subscribe(TICKER);
    const before = batched.frames.length;
    for (let count = 0; count < 5; count++) market.update(TICKER, { last: 'alone' });
    await until(() => seqOf(batched, TICKER) === market.line(TICKER).seq, 'the last');
    expect(batched.frames.slice(before).some(isBatch)).toBe(false);
  });

  test('a wish for batches that cannot be met is refused whole', async () => {
    rig = await startServer();
    rig.market.begin(TICKER);
    const client = await open();
    for (const batch of [false, { windowMs: 51 }, { windowMs: -1 }, { windowMs: 0.5 }, {}, 'yes']) {
      const { error } = await client.request('subscribe', { streams: [TICKER], batch });
      expect(error, JSON.stringify(batch)).toMatchObject({ code: 'bad_request' });
    }
    expect((await client.request('subscribe', { streams: [TICKER], batch: true })).error).toBeUndefined();
  });

  test('a returning client gets what it missed, or is told that it cannot', async () => {
    rig = await startServer({ retention: { messages: 50, bytes: 1e9, ageMs: 1e9 } });
    const { market } = rig;
    market.begin(TRADES);
    const first = await open();
    await first.subscribe(TRADES);
    await until(() => first.envelopes(TRADES).length === 1, 'the snapshot');
    const since = { epoch: market.line(TRADES).epoch, seq: 2 };
    await first.end();
    for (let count = 0; count < 30; count++) market.trade(TRADES);
    const second = await open();
    expect((await second.subscribe({ stream: TRADES, since })).result).toMatchObject([{ recovered: true, seq: 32 }]);
    await until(() => second.envelopes(TRADES).length === 30, 'the missed trades');
    expect(second.envelopes(TRADES).map(({ seq }) => seq)).toEqual(Array.from({ length: 30 }, (_, index) => index + 3));
    for (let count = 0; count < 60; count++) market.trade(TRADES);
    const third = await open();
    expect((await third.subscribe({ stream: TRADES, since })).result).toMatchObject([{ recovered: false, seq: 92 }]);
    await until(() => third.envelopes(TRADES).length === 2, 'gap and snapshot');
    expect(third.envelopes(TRADES)).toMatchObject([
      { kind: 'gap', seq: 92, data: { from: 3, to: 92, reason: 'expired' } },
      { kind: 'snapshot', seq: 92 },
    ]);
    const other = { epoch: 'restarted', seq: 2 };
    const fourth = await open();
    await fourth.subscribe({ stream: TRADES, since: other });
    await until(() => fourth.envelopes(TRADES).length === 2, 'gap and snapshot');
    expect(fourth.envelopes(TRADES)[0]).toMatchObject({ kind: 'gap', data: { from: 0, to: 92, reason: 'upstream' } });
  });

  test('state pushes, new epochs and heartbeats arrive', async () => {
    rig = await startServer({ limits: { heartbeatMs: 100 } });
    const { market } = rig;
    market.begin(TICKER);
    const client = await open();
    await client.subscribe(TICKER);
    market.state(TICKER, { status: 'stale', since: 5, reason: 'silent' });
    market.begin(TICKER);
    await until(() => client.envelopes(TICKER).length === 4, 'the new epoch');
    expect(client.envelopes(TICKER).map(({ kind }) => kind)).toEqual(['snapshot', 'state', 'snapshot', 'state']);
    expect(client.envelopes(TICKER)[3]).toMatchObject({ data: LIVE, seq: 2 });
    const position = { epoch: market.line(TICKER).epoch, seq: 2 };
    await until(
      () => client.events('heartbeat').some(({ streams }) => JSON.stringify(streams).includes(`"${TICKER}"`)),
      'a heartbeat that lists the quiet stream',
    );
    expect(client.events('heartbeat').at(-1)).toMatchObject({ streams: { [TICKER]: position } });
  });

  test('every method answers: list, ping, authenticate, unsubscribe; and private streams say unauthorized', async () => {
    rig = await startServer();
    const client = await open();
    rig.market.begin(TICKER);
    await client.subscribe(TICKER);
    expect(await client.request('list')).toMatchObject({ result: [{ stream: TICKER, seq: 2 }] });
    expect(await client.request('ping')).toMatchObject({ result: { serverTs: expect.any(Number) } });
    expect(await client.request('ping', {})).toHaveProperty('result');
    expect(await client.request('authenticate', { token: 'x' })).toMatchObject({ error: { code: 'unauthorized' } });
    expect(await client.request('unsubscribe', { streams: [TICKER, BOOK] })).toMatchObject({
      result: [
        { stream: TICKER, left: true },
        { stream: BOOK, left: false },
      ],
    });
    const { result } = await client.subscribe('orders', 'portfolio', 'notifications', 'ticker:nowhere:BTC/USDT');
    expect((result as { error: { code: string } }[]).map(({ error }) => error.code)).toEqual([
      'unauthorized',
      'unauthorized',
      'unauthorized',
      'unknown_venue',
    ]);
  });

  test('names outside the method list are answered with a code and reach no listener', async () => {
    rig = await startServer();
    const client = await open();
    const names = [
      'nope',
      'error',
      '__proto__',
      'disconnect',
      'constructor',
      'disconnecting',
      'newListener',
      'connect',
      'message',
    ];
    for (const name of [...names, 'x'.repeat(30)]) {
      expect(await client.request(name, {}), name).toMatchObject({ error: { code: 'unknown_method' } });
    }
    const id = client.send('x'.repeat(10_000), {});
    await until(() => client.reply(id) !== undefined || client.strayErrors().length > 0, 'an answer to a long name');
    expect(await client.request('ping')).toHaveProperty('result');
  });

  test('arguments of every wrong kind are answered with a code and leave the connection as it was', async () => {
    rig = await startServer({ limits: { inboundBurst: 1_000 } });
    const client = await open();
    const deep = '['.repeat(3_000) + ']'.repeat(3_000);
    const wrong = [
      'null',
      '[]',
      '"text"',
      '7',
      '{}',
      '{"streams":null}',
      '{"streams":[]}',
      '{"streams":[1]}',
      deep,
      `{"streams":${deep}}`,
    ];
    wrong.push(
      '{"streams":["x"],"__proto__":{"a":1}}',
      '{"streams":["x"],"constructor":{"prototype":{"a":1}}}',
      '{"streams":[{"stream":"x","since":{}}]}',
    );
    for (const [index, params] of wrong.entries()) {
      const id = 1_000 + index;
      client.text(
        door === 'plain' ? `{"id":${id},"method":"subscribe","params":${params}}` : `42${id}["subscribe",${params}]`,
      );
      await until(() => client.reply(id) !== undefined, `an answer to ${params.slice(0, 60)}`);
      expect(client.reply(id), params.slice(0, 60)).toMatchObject({ error: { code: 'bad_request', temporary: false } });
      expect(WireErrorSchema.safeParse(client.reply(id)!.error).success).toBe(true);
    }
    expect(({} as { a?: number }).a).toBeUndefined();
    expect(await client.request('ping')).toHaveProperty('result');
  });

  test('limits hold: 200 streams, 100 a request, 16 KiB a message, the rate, and what persists is closed', async () => {
    const symbols = Array.from({ length: 150 }, (_, index) => `S${index}/USDT`);
    rig = await startServer({ symbols });
    const client = await open();
    const names = symbols.flatMap((symbol) => [`ticker:sandbox:${symbol}`, `trades:sandbox:${symbol}`]);
    await client.subscribe(...names.slice(0, 100));
    await client.subscribe(...names.slice(100, 199));
    const { result } = await client.subscribe(...names.slice(199, 202));
    expect((result as { error?: { code: string } }[]).map(({ error }) => error?.code)).toEqual([
      undefined,
      'too_many_streams',
      'too_many_streams',
    ]);
    expect(await client.subscribe(...names.slice(0, 101))).toMatchObject({ error: { code: 'bad_request' } });
    const hasty = await open();
    for (let count = 0; count < 60; count++) hasty.send('ping');
    await until(() => hasty.replies().length === 60, 'sixty answers');
    const refused = hasty.replies().filter(({ error }) => error?.code === 'rate_limited');
    expect(refused.length).toBeGreaterThan(0);
    expect(refused[0]!.error).toMatchObject({ temporary: true, retryAfterMs: expect.any(Number) });
    for (let count = 0; count < 300; count++) hasty.send('ping');
    await until(() => hasty.closed !== null, 'the close of a connection that does not stop');
    expect(hasty.events('closing')).toMatchObject([{ code: 3509, reason: 'abuse', reconnect: false }]);
    if (door === 'plain') expect(hasty.closed).toEqual({ code: 3509, reason: 'abuse' });
    else expect(hasty.frames.at(-1)).toBe('41');
    const wordy = await open();
    wordy.send('subscribe', { streams: ['x'.repeat(20_000)] });
    await until(() => wordy.closed !== null, 'the close after an oversized message');
    expect(wordy.closed!.code).toBe(1009);
    expect(await client.request('ping')).toHaveProperty('result');
  });

  test('a client that stops reading is told, conflated and closed, and nobody else notices', async () => {
    rig = await startServer({ limits: { closeAgeMs: 2_500 } });
    const { market } = rig;
    market.begin(TICKER);
    const [slow, healthy] = [await open(), await open()];
    await Promise.all([slow.subscribe(TICKER), healthy.subscribe(TICKER)]);
    slow.socket.pause();
    const pad = 'x'.repeat(8_000);
    let published = 0;
    const publishing = setInterval(() => {
      for (let count = 0; count < 50; count++) market.update(TICKER, { pad, count: (published += 1) });
    }, 5);
    await until(() => rig.hub.connectionCount === 1, 'the end of the slow connection');
    clearInterval(publishing);
    await until(() => healthy.envelopes(TICKER).length === published + 1, 'every update at the healthy client');
    expect(healthy.events('slow')).toEqual([]);
    slow.socket.resume();
    await until(() => slow.closed !== null, 'the slow client to see its end');
    expect(slow.envelopes(TICKER).length).toBeLessThan(published);
  });

  test('a client that is slow for a while gets a conflated snapshot and goes on', async () => {
    rig = await startServer();
    const { market } = rig;
    market.begin(BOOK);
    market.begin(TICKER);
    const client = await open();
    await client.subscribe(BOOK, TICKER);
    client.socket.pause();
    const pad = 'x'.repeat(8_000);
    while (!(await rig.metrics.render()).includes('gateway_conflating 1')) {
      for (let count = 0; count < 50; count++) market.update(TICKER, { pad });
      market.delta(BOOK, [[String(50 + (market.line(BOOK).seq % 9)), String(market.line(BOOK).seq)]], []);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    client.socket.resume();
    await until(
      () => client.envelopes(TICKER).some(({ conflated }) => conflated !== undefined),
      'a conflated snapshot',
    );
    expect(client.events('slow')[0]).toMatchObject({ action: 'conflating', queuedBytes: expect.any(Number) });
    await until(() => client.events('slow').length === 2, 'recovery', 20_000);
    expect(client.events('slow')[1]).toMatchObject({ action: 'recovered' });
    market.delta(BOOK, [['1', '1']], []);
    await until(() => client.envelopes(BOOK).at(-1)?.seq === market.line(BOOK).seq, 'live again');
    const model = emptyModel();
    for (const entry of client.log) {
      if (entry.type === 'reply') applyReply(model, (entry.reply.result as Subscribed[])[0]!, undefined);
      else if (entry.type === 'push' && entry.envelope.stream === BOOK) applyPush(model, entry.envelope);
    }
    expect(model.book).toMatchObject(market.line(BOOK).book);
  }, 60_000);

  test('draining: told when, requests finished, closed with 3001, newcomers refused with 503', async () => {
    rig = await startServer({ coldStreamMs: 300 });
    rig.market.silent.add(TICKER);
    const clients = await Promise.all([open(), open(), open(), open()]);
    const waiting = clients[0]!.send('subscribe', { streams: [TICKER] });
    await clients[0]!.request('ping');
    const drained = rig.doors.drain({ spreadMs: 100, deadlineMs: 10_000 });
    await drained;
    await until(() => clients.every(({ closed }) => closed !== null), 'all closed');
    for (const client of clients) {
      expect(client.events('draining')).toEqual([{ afterMs: expect.any(Number) }]);
      expect(client.events('closing')).toEqual([{ code: 3001, reason: 'shutdown', reconnect: true }]);
      if (door === 'plain') expect(client.closed).toEqual({ code: 3001, reason: 'shutdown' });
    }
    expect(clients[0]!.reply(waiting)).toHaveProperty('result');
    const late = new RawClient(door, rig.port);
    await until(() => late.failure !== null, 'the refusal');
    expect(late.failure).toMatch(/^503 .*"draining"/);
  });

  test('a drain ends at its deadline though a client does not take part', async () => {
    rig = await startServer();
    const client = await open();
    client.socket.pause();
    await rig.doors.drain({ spreadMs: 60_000, deadlineMs: 50 });
    expect(rig.hub.connectionCount).toBe(0);
  });

  test('a peer that answers no ping is closed with no_pong', async () => {
    rig = await startServer({ limits: { heartbeatMs: 20 }, pings: { intervalMs: 60, timeoutMs: 60 } });
    const client = await open({ answerPings: false });
    // `ws` answers pings by itself: a paused socket does not.
    client.socket.pause();
    await until(() => rig.hub.connectionCount === 0, 'the end of a silent peer');
    expect(await rig.metrics.render()).toContain(`gateway_closes_total{door="${door}",code="3012"} 1`);
  });

  test('a peer that answers pings is kept', async () => {
    rig = await startServer({ limits: { heartbeatMs: 20 }, pings: { intervalMs: 40, timeoutMs: 200 } });
    const client = await open();
    const beats = client.events('heartbeat').length;
    await until(() => client.events('heartbeat').length > beats + 20, 'many heartbeats');
    expect(client.closed).toBeNull();
  });

  test('pages of other origins, and more connections than one address may have, are refused before the upgrade', async () => {
    rig = await startServer({ allowedOrigins: ['https://app.example.com'], limits: { connectionsPerIp: 2 } });
    for (const origin of [
      'https://evil.example',
      'null',
      'https://app.example.com.evil.example',
      'http://app.example.com',
    ]) {
      const page = new RawClient(door, rig.port, { headers: { origin } });
      await until(() => page.failure !== null, 'the refusal');
      expect(page.failure).toMatch(/^403 .*"forbidden"/);
    }
    const held = [await open({ headers: { origin: 'https://app.example.com' } }), await open()];
    const third = new RawClient(door, rig.port);
    await until(() => third.failure !== null, 'the refusal');
    expect(third.failure).toMatch(/^429 .*"connection_limit"/);
    await held[0]!.end();
    await until(() => rig.hub.connectionCount === 1, 'room');
    await open();
  });
});
