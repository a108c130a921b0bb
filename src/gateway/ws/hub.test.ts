import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { HubRig, RigOptions } from './hub-rig-contract.ts';
import { RigClient, fakeTime, pass, settle, startHub } from './hub-rig-contract.ts';
import { LIVE } from './scripted-market-contract.ts';

const BOOK = 'book:sandbox:BTC/USDT:25:100ms';
const TRADES = 'trades:sandbox:BTC/USDT';
const TICKER = 'ticker:sandbox:BTC/USDT';
const CANDLES = 'candles:sandbox:BTC/USDT:1m';

let rig: HubRig;
function start(options: RigOptions = {}): HubRig {
  rig = startHub(options);
  return rig;
}
beforeEach(fakeTime);
afterEach(() => {
  rig.stop();
  vi.useRealTimers();
});

async function subscribed(client: RigClient, ...streams: Parameters<RigClient['subscribe']>): Promise<void> {
  const id = client.subscribe(...streams);
  await settle();
  expect(client.reply(id)).toHaveProperty('result');
}

test('a client must not be left guessing its limits: the first thing it hears is welcome, with all of them', async () => {
  const client = new RigClient(start().hub);
  await settle();
  expect(client.log[0]).toMatchObject({ type: 'event', name: 'welcome', data: { protocol: 1 } });
  expect(client.events('welcome')[0]).toMatchObject({ limits: { streamsPerConnection: 200, inboundBytes: 16_384 } });
});

test('the feed may take its time only while there is much to send, and is told so once', async () => {
  const told: boolean[] = [];
  const { hub, market } = start({ onBusy: (busy) => told.push(busy) });
  market.begin(TICKER);
  const clients = Array.from({ length: 40 }, () => new RigClient(hub));
  for (const client of clients) await subscribed(client, TICKER);
  const publish = async (messages: number): Promise<void> => {
    for (let count = 0; count < messages; count++) market.update(TICKER, { last: String(count) });
    await pass(500);
  };
  await publish(10);
  expect(told).toEqual([]);
  await publish(400);
  await publish(400);
  expect(told).toEqual([true]);
  await publish(10);
  await publish(10);
  expect(told).toEqual([true, false]);
});

test('a snapshot must not come before the reply that announces it, nor a delta that it already holds', async () => {
  const { hub, market } = start();
  market.begin(BOOK);
  market.delta(BOOK, [['99', '5']], []);
  const client = new RigClient(hub);
  await subscribed(client, BOOK);
  market.delta(BOOK, [['99', '0']], [['102', '1']]);
  await settle();
  const kinds = client.log.map((entry) =>
    entry.type === 'push' ? `${entry.envelope.kind} ${entry.envelope.seq}` : entry.type,
  );
  expect(kinds).toEqual(['event', 'reply', 'snapshot 3', 'delta 4']);
  expect(client.stream(BOOK).book).toMatchObject(market.line(BOOK).book);
  expect(client.problems).toEqual([]);
});

test('data published while a subscribe waits for a cold stream is neither lost nor sent twice', async () => {
  const { hub, market } = start();
  market.silent.add(TICKER);
  const client = new RigClient(hub);
  const id = client.subscribe(BOOK, TICKER);
  await settle();
  market.begin(BOOK);
  market.delta(BOOK, [['99', '1']], []);
  expect(client.reply(id)).toBeUndefined();
  await pass(5_000);
  expect(client.results(id)[1]).toMatchObject({
    stream: TICKER,
    error: { code: 'venue_unavailable', temporary: true },
  });
  market.delta(BOOK, [['98', '1']], []);
  await settle();
  expect(client.pushes(BOOK)).toEqual(['snapshot 3', 'delta 4']);
  expect(client.problems).toEqual([]);
});

test('a stream that its last subscriber leaves while another waits to join it stays open', async () => {
  const { hub, market } = start();
  market.silent.add(TICKER);
  market.begin(BOOK);
  const [leaving, waiting] = [new RigClient(hub), new RigClient(hub)];
  await subscribed(leaving, BOOK);
  const id = waiting.subscribe(BOOK, TICKER);
  leaving.send('unsubscribe', { streams: [BOOK] });
  await pass(5_000);
  expect(waiting.results(id)[0]).toMatchObject({ stream: BOOK, seq: 2 });
  market.delta(BOOK, [['99', '1']], []);
  await settle();
  expect(waiting.pushes(BOOK)).toEqual(['snapshot 2', 'delta 3']);
});

test('a stream without data yet answers its state at once and begins with its first snapshot', async () => {
  const { hub, market } = start();
  const client = new RigClient(hub);
  const id = client.subscribe(TRADES);
  await settle();
  expect(client.results(id)[0]).toMatchObject({ seq: 0, recovered: false, state: { status: 'resyncing' } });
  market.begin(TRADES);
  market.trade(TRADES);
  await settle();
  expect(client.pushes(TRADES)).toEqual(['snapshot 1', 'state 2', 'update 3']);
  expect(client.problems).toEqual([]);
});

test('a client that returns within the window gets exactly what it missed, before anything live', async () => {
  const { hub, market } = start();
  market.begin(TRADES);
  const first = new RigClient(hub);
  await subscribed(first, TRADES);
  const since = { ...first.stream(TRADES).position! };
  first.connection.onClosed(1006);
  for (let count = 0; count < 5; count++) market.trade(TRADES);
  const second = new RigClient(hub);
  const id = second.subscribe({ stream: TRADES, since });
  await settle();
  market.trade(TRADES);
  await settle();
  expect(second.results(id)[0]).toMatchObject({ recovered: true, seq: 7 });
  expect(second.pushes(TRADES)).toEqual(['update 3', 'update 4', 'update 5', 'update 6', 'update 7', 'update 8']);
  expect(second.problems).toEqual([]);
});

test.each([
  ['the window has passed', { messages: 3, bytes: 1e9, ageMs: 1e9 }, 'same', { from: 3, to: 12, reason: 'expired' }],
  ['the epoch is another', { messages: 100, bytes: 1e9, ageMs: 1e9 }, 'old', { from: 0, to: 12, reason: 'upstream' }],
  [
    'the position is ahead of ours',
    { messages: 100, bytes: 1e9, ageMs: 1e9 },
    'future',
    { from: 0, to: 12, reason: 'expired' },
  ],
] as const)(
  'lost trades are never hidden: when %s a gap says so before the snapshot',
  async (_, retention, which, gap) => {
    const { hub, market } = start({ retention });
    market.begin(TRADES);
    const client = new RigClient(hub);
    // Somebody keeps the stream in use.
    await subscribed(new RigClient(hub), TRADES);
    for (let count = 0; count < 10; count++) market.trade(TRADES);
    const { epoch } = market.line(TRADES);
    const since = { same: { epoch, seq: 2 }, old: { epoch: 'other', seq: 7 }, future: { epoch, seq: 99 } }[which];
    const id = client.subscribe({ stream: TRADES, since });
    await settle();
    expect(client.results(id)[0]).toMatchObject({ recovered: false, seq: 12 });
    expect(client.pushes(TRADES)).toEqual(['gap 12', 'snapshot 12']);
    expect(client.stream(TRADES).gaps[0]).toMatchObject(gap);
    expect(client.problems).toEqual([]);
  },
);

test('a book that cannot be resumed comes as a snapshot, without a gap', async () => {
  const { hub, market } = start({ retention: { messages: 2, bytes: 1e9, ageMs: 1e9 } });
  market.begin(BOOK);
  await subscribed(new RigClient(hub), BOOK);
  for (let price = 1; price < 9; price++) market.delta(BOOK, [[String(price), '1']], []);
  const client = new RigClient(hub);
  await subscribed(client, { stream: BOOK, since: { epoch: market.line(BOOK).epoch, seq: 3 } });
  expect(client.pushes(BOOK)).toEqual(['snapshot 10']);
  expect(client.problems).toEqual([]);
});

test('subscribing twice does not double a stream: the second answers the position and sends nothing', async () => {
  const { hub, market } = start();
  market.begin(BOOK);
  const client = new RigClient(hub);
  await subscribed(client, BOOK, BOOK);
  const id = client.subscribe(BOOK);
  market.delta(BOOK, [['99', '1']], []);
  await settle();
  expect(client.results(id)[0]).toMatchObject({ stream: BOOK, seq: 2, recovered: true });
  expect(client.pushes(BOOK)).toEqual(['snapshot 2', 'delta 3']);
});

test('subscribing again with a position sends from there again', async () => {
  const { hub, market } = start();
  market.begin(TRADES);
  const client = new RigClient(hub);
  await subscribed(client, TRADES);
  const since = { epoch: market.line(TRADES).epoch, seq: 2 };
  market.trade(TRADES);
  market.trade(TRADES);
  await subscribed(client, { stream: TRADES, since });
  market.trade(TRADES);
  await settle();
  expect(client.pushes(TRADES)).toEqual(['snapshot 2', 'update 3', 'update 4', 'update 3', 'update 4', 'update 5']);
});

test('unsubscribe cannot be overtaken: sent behind a subscribe that waits, it leaves nothing subscribed', async () => {
  const { hub, market } = start();
  market.silent.add(TICKER);
  const client = new RigClient(hub);
  client.subscribe(TICKER, BOOK);
  const left = client.send('unsubscribe', { streams: [BOOK, TRADES] });
  const list = client.send('list');
  const ping = client.send('ping');
  await settle();
  expect(client.reply(ping)).toMatchObject({ result: { serverTs: expect.any(Number) } });
  expect(client.reply(left)).toBeUndefined();
  await pass(5_000);
  expect(client.reply(left)).toMatchObject({
    result: [
      { stream: BOOK, left: true },
      { stream: TRADES, left: false },
    ],
  });
  expect(client.reply(list)).toMatchObject({ result: [] });
  market.begin(BOOK);
  await settle();
  expect(client.pushes(BOOK)).toEqual([]);
});

test('a client that comes while a venue loads its markets is kept waiting, not sent away', async () => {
  const { hub, market } = start();
  const client = new RigClient(hub);
  const id = client.subscribe('ticker:absent:BTC/USDT');
  await settle();
  expect(client.reply(id)).toBeUndefined();
  market.list('absent', ['BTC/USDT']);
  await settle();
  expect(client.results(id)).toMatchObject([{ stream: 'ticker:absent:BTC/USDT', seq: 0 }]);
});

test('one bad name among good ones costs only itself, and each failure has its own code', async () => {
  const { hub, market } = start();
  market.begin(BOOK);
  const client = new RigClient(hub);
  const names = [
    BOOK,
    'nonsense',
    'ticker:nowhere:BTC/USDT',
    'ticker:sandbox:DOGE/USDT',
    'book:sandbox:BTC/USDT:7',
    'candles:sandbox:BTC/USDT:7m',
    'ticker:absent:BTC/USDT',
    'orders',
    'portfolio',
    'notifications',
    'ticker:sandbox:１２３４５６/USDT',
    'ticker:sandbox:__proto__',
    `ticker:sandbox:${'X'.repeat(300)}`,
  ];
  const id = client.subscribe(...names);
  await pass(5_000);
  expect(client.results(id).map((result) => ('error' in result ? result.error.code : 'ok'))).toEqual([
    'ok',
    'unknown_stream',
    'unknown_venue',
    'unknown_symbol',
    'unsupported_option',
    'unsupported_option',
    'venue_unavailable',
    'unauthorized',
    'unauthorized',
    'unauthorized',
    'ok',
    'unknown_symbol',
    'unknown_stream',
  ]);
  expect(client.results(id).map(({ stream }) => stream)).toEqual(names);
});

test('two hundred streams are the limit, however they are asked for', async () => {
  const symbols = Array.from({ length: 150 }, (_, index) => `S${index}/USDT`);
  const { hub } = start({ symbols });
  const client = new RigClient(hub);
  const names = symbols.flatMap((symbol) => [`ticker:sandbox:${symbol}`, `trades:sandbox:${symbol}`]);
  for (let from = 0; from < 300; from += 100) client.subscribe(...names.slice(from, from + 100));
  await settle();
  expect(client.results(2).every((result) => !('error' in result))).toBe(true);
  expect(client.results(3).every((result) => 'error' in result && result.error.code === 'too_many_streams')).toBe(true);
  client.send('unsubscribe', { streams: [names[0]!] });
  const again = client.subscribe(names[0]!, names[250]!);
  await settle();
  expect(client.results(again).map((result) => 'error' in result)).toEqual([false, true]);
  const many = client.subscribe(...names.slice(0, 101));
  await settle();
  expect(client.reply(many)).toMatchObject({ error: { code: 'bad_request' } });
});

test('a doubt reaches the client, and the new epoch after it replaces what the client had', async () => {
  const { hub, market } = start();
  market.begin(BOOK);
  const client = new RigClient(hub);
  await subscribed(client, BOOK);
  market.state(BOOK, { status: 'stale', since: 5, reason: 'silent' });
  market.begin(BOOK);
  market.delta(BOOK, [['99', '1']], []);
  await settle();
  expect(client.pushes(BOOK)).toEqual(['snapshot 2', 'state 3', 'snapshot 1', 'state 2', 'delta 3']);
  expect(client.stream(BOOK).state).toEqual(LIVE);
  expect(client.problems).toEqual([]);
});

test('when the gateway itself loses a message, clients hear resyncing, then a snapshot, and for trades what is missing', async () => {
  const { hub, market } = start();
  market.begin(BOOK);
  market.begin(TRADES);
  const client = new RigClient(hub);
  await subscribed(client, BOOK, TRADES);
  for (const name of [BOOK, TRADES]) market.skip(name);
  market.delta(BOOK, [['99', '1']], []);
  market.trade(TRADES);
  await settle();
  expect(client.stream(BOOK).state).toMatchObject({ status: 'resyncing' });
  await pass(1_000);
  expect(client.stream(BOOK).state).toEqual(LIVE);
  expect(client.stream(BOOK).book).toMatchObject(market.line(BOOK).book);
  expect(client.stream(TRADES).gaps).toMatchObject([{ from: 3, to: 4, reason: 'upstream' }]);
  expect(client.pushes(TRADES)).toEqual(['snapshot 2', 'state 2', 'gap 4', 'snapshot 4', 'state 4']);
  expect(client.problems).toEqual([]);
});

test('a quiet stream cannot hide a lost tail: the heartbeat lists it, and leaves out what was pushed meanwhile', async () => {
  const { hub, market } = start();
  market.begin(BOOK);
  market.begin(TRADES);
  const client = new RigClient(hub);
  await subscribed(client, BOOK, TRADES);
  await pass(5_000);
  const seen = client.events('heartbeat').length;
  market.trade(TRADES);
  await pass(5_000);
  const [beat] = client.events('heartbeat').slice(seen);
  expect(beat).toMatchObject({ streams: { [BOOK]: { epoch: market.line(BOOK).epoch, seq: 2 } } });
  expect(beat!.streams).not.toHaveProperty([TRADES]);
  await pass(5_000);
  expect(client.events('heartbeat').at(-1)!.streams).toMatchObject({ [TRADES]: { seq: 3 } });
});

test('a closed connection leaves no subscription and no lease behind', async () => {
  const { hub, market, metrics } = start();
  const client = new RigClient(hub);
  client.subscribe(BOOK, TRADES);
  await settle();
  client.connection.onClosed(1006);
  expect(await metrics.render()).toContain('gateway_streams 0');
  await pass(30_000);
  expect(market.closed.sort()).toEqual([BOOK, TRADES].sort());
  expect(hub.connectionCount).toBe(0);
});

test('closed candles survive a slow connection: the snapshot that replaces the skipped updates carries them', async () => {
  const { hub, market } = start({ limits: { slowQueuedFrames: 4 } });
  market.begin(CANDLES);
  const client = new RigClient(hub);
  await subscribed(client, CANDLES);
  client.wire.stall();
  const candle = (ts: number, closed: boolean) => ({
    ts,
    open: '1',
    high: '1',
    low: '1',
    close: '1',
    volume: '1',
    closed,
    rev: 1,
  });
  // More than may be gathered: the socket stalls on the first of it.
  for (let ts = 0; ts < 300; ts++) market.candle(CANDLES, candle(ts, true));
  await pass(0);
  client.wire.resume();
  await pass(1_500);
  const { candles } = client.stream(CANDLES).latest as { candles: { ts: number; closed: boolean }[] };
  expect(candles.filter(({ closed }) => closed).length).toBe(100);
  expect(client.problems).toEqual([]);
});
