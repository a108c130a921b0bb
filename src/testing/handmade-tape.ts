import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from '../kernel/crc32.ts';
import { seededRandom } from '../kernel/random.ts';
import type { SandboxVenue } from '../sandbox/index.ts';

/** A small recording of our own making in each exchange's format, for tests that must run without real recordings. */
export type HandmadeTape = Readonly<{ folder: string; frames: readonly string[]; remove(): void }>;
type Level = [price: string, size: string];
type Change = { id: number; bids: Level[]; asks: Level[]; book: { bids: Level[]; asks: Level[] } };

const START_US = 1_700_000_000_000_000;
const STEP_US = 10_000;
const FIRST_ID = 5000;
const SIDE_LEVELS = 30;

/** `changes` book changes of one BTC market, a trade after every fifth and a ticker where the exchange's recordings have one. */
export function handmadeTape(venue: SandboxVenue, changes: number, seed = 7): HandmadeTape {
  const folder = mkdtempSync(join(tmpdir(), 'tidewire-tape-'));
  const steps = bookSteps(changes, seed);
  const format = FORMATS[venue];
  const lines: object[] = [];
  const frames: string[] = [];
  let atUs = START_US;
  const add = (raw: string): void => {
    frames.push(raw);
    lines.push({ t: 'recv', ts_us: (atUs += STEP_US), raw });
  };
  const [start] = steps;
  const { url, body, frame } = format.snapshot(start!);
  if (body !== undefined) lines.push({ t: 'http', ts_us: atUs, url, raw: body });
  if (frame !== undefined) add(frame);
  steps.slice(1).forEach((step, index) => {
    add(format.change(step, Math.floor(atUs / 1000)));
    if (index % 5 === 0) for (const raw of format.trade(index / 5 + 1, Math.floor(atUs / 1000))) add(raw);
  });
  writeFileSync(join(folder, 'tape.jsonl'), `${lines.map((line) => JSON.stringify(line)).join('\n')}\n`);
  return { folder, frames, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

function bookSteps(changes: number, seed: number): Change[] {
  const random = seededRandom(seed);
  const bids = new Map<number, Level>();
  const asks = new Map<number, Level>();
  const level = (tick: number): Level => [
    (tick / 10).toFixed(1),
    (1 + Math.floor(random() * 900)).toString().concat('.50000000'),
  ];
  for (let step = 0; step < SIDE_LEVELS; step++) {
    bids.set(9999 - step, level(9999 - step));
    asks.set(10_000 + step, level(10_000 + step));
  }
  const sorted = (side: Map<number, Level>, sign: number): Level[] =>
    [...side].toSorted(([a], [b]) => sign * (a - b)).map(([, each]) => each);
  const book = (): Change['book'] => ({ bids: sorted(bids, -1), asks: sorted(asks, 1) });
  const steps: Change[] = [{ id: FIRST_ID, bids: sorted(bids, -1), asks: sorted(asks, 1), book: book() }];
  for (let index = 1; index <= changes; index++) {
    const change: Change = { id: FIRST_ID + index, bids: [], asks: [], book: { bids: [], asks: [] } };
    const side = random() < 0.5 ? 'bids' : 'asks';
    const tick = side === 'bids' ? 9999 - Math.floor(random() * 40) : 10_000 + Math.floor(random() * 40);
    const map = side === 'bids' ? bids : asks;
    const removes = random() < 0.4 && map.has(tick) && map.size > SIDE_LEVELS / 2;
    const next: Level = removes ? [(tick / 10).toFixed(1), '0.00000000'] : level(tick);
    if (removes) map.delete(tick);
    else map.set(tick, next);
    change[side].push(next);
    change.book = book();
    steps.push(change);
  }
  return steps;
}

type Format = {
  snapshot(step: Change): { url?: string; body?: string; frame?: string };
  change(step: Change, ms: number): string;
  /** One trade, as the frames that the exchange sends about it. */
  trade(id: number, ms: number): string[];
};
const iso = (ms: number): string => new Date(ms).toISOString();
const digits = (text: string): string => text.replace('.', '').replace(/^0+/, '');

function krakenRow(step: Change, ms: number): string {
  const side = (levels: Level[]): string => levels.map(([price, size]) => `{"price":${price},"qty":${size}}`).join(',');
  const top = [...step.book.asks.slice(0, 10), ...step.book.bids.slice(0, 10)];
  const checksum = crc32(top.flatMap((level) => level.map(digits)).join(''));
  return `{"symbol":"BTC/USD","bids":[${side(step.bids)}],"asks":[${side(step.asks)}],"checksum":${checksum},"timestamp":"${iso(ms)}"}`;
}

function coinbaseFrame(type: string, step: Change, ms: number): string {
  const rows = (side: string, levels: Level[]): object[] =>
    levels.map(([price, size]) => ({ side, event_time: iso(ms), price_level: price, new_quantity: size }));
  const updates = [...rows('bid', step.bids), ...rows('offer', step.asks)];
  const events = [{ type, product_id: 'BTC-USD', updates }];
  return JSON.stringify({ channel: 'l2_data', client_id: '', timestamp: iso(ms), sequence_num: step.id, events });
}

function okxFrame(action: string, step: Change, ms: number): string {
  const rows = (levels: Level[]): string[][] => levels.map(([price, size]) => [price, size, '0', '1']);
  const parts = Array.from({ length: 25 }, (_, index) =>
    [step.book.bids[index], step.book.asks[index]].flatMap((level) => level ?? []),
  );
  const checksum = crc32(parts.flat().join(':')) | 0;
  const ids = { seqId: step.id, prevSeqId: action === 'snapshot' ? -1 : step.id - 1 };
  const data = [{ asks: rows(step.asks), bids: rows(step.bids), ts: String(ms), checksum, ...ids }];
  return JSON.stringify({ arg: { channel: 'books', instId: 'BTC-USDT' }, action, data });
}

function binance(futures: boolean): Format {
  const root = futures ? 'https://fapi.binance.com/fapi/v1' : 'https://api.binance.com/api/v3';
  const wrapped = (stream: string, data: object): string => JSON.stringify({ stream: `btcusdt@${stream}`, data });
  return {
    snapshot: ({ id, bids, asks }) => ({
      url: `${root}/depth?symbol=BTCUSDT&limit=1000`,
      body: JSON.stringify({ lastUpdateId: id, bids, asks }),
    }),
    change: ({ id, bids, asks }, ms) => {
      const chain = futures ? { T: ms, pu: id - 1 } : {};
      return wrapped('depth@100ms', {
        e: 'depthUpdate',
        E: ms,
        s: 'BTCUSDT',
        U: id,
        u: id,
        ...chain,
        b: bids,
        a: asks,
      });
    },
    trade: (id, ms) => {
      const flags = futures ? { X: 'MARKET', m: false } : { m: false, M: true };
      const trade = { e: 'trade', E: ms, s: 'BTCUSDT', t: id, p: '1000.0', q: '0.50000000', T: ms, ...flags };
      const top = { u: FIRST_ID + id, s: 'BTCUSDT', b: '999.9', B: '1.5', a: '1000.0', A: '2.5' };
      const named = futures ? { e: 'bookTicker', ...top, T: ms, E: ms } : top;
      return [wrapped('trade', trade), wrapped('bookTicker', named)];
    },
  };
}

const FORMATS: Readonly<Record<SandboxVenue, Format>> = {
  binance: binance(false),
  binanceusdm: binance(true),
  kraken: {
    snapshot: (step) => ({
      frame: `{"channel":"book","type":"snapshot","data":[${krakenRow(step, START_US / 1000)}]}`,
    }),
    change: (step, ms) => `{"channel":"book","type":"update","data":[${krakenRow(step, ms)}]}`,
    trade: (id, ms) => [
      `{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":1000.0,"qty":0.50000000,"ord_type":"market","trade_id":${id},"timestamp":"${iso(ms)}"}]}`,
      `{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":999.9,"bid_qty":1.5,"ask":1000.0,"ask_qty":2.5,"last":1000.0,"volume":10,"vwap":990,"low":900,"high":1100,"change":50,"change_pct":5}]}`,
    ],
  },
  coinbase: {
    snapshot: (step) => ({ frame: coinbaseFrame('snapshot', step, START_US / 1000) }),
    change: (step, ms) => coinbaseFrame('update', step, ms),
    trade: (id, ms) => {
      const trade = {
        trade_id: String(id),
        product_id: 'BTC-USD',
        price: '1000.0',
        size: '0.5',
        time: iso(ms),
        side: 'BUY',
      };
      const day = { volume_24_h: '10', low_24_h: '900', high_24_h: '1100', price_percent_chg_24_h: '5' };
      const ticker = {
        type: 'ticker',
        product_id: 'BTC-USD',
        price: '1000.0',
        ...day,
        best_bid: '999.9',
        best_ask: '1000.0',
      };
      const head = { client_id: '', timestamp: iso(ms), sequence_num: 1_000_000 + id };
      return [
        JSON.stringify({ channel: 'market_trades', ...head, events: [{ type: 'update', trades: [trade] }] }),
        JSON.stringify({ channel: 'ticker', ...head, events: [{ type: 'update', tickers: [ticker] }] }),
      ];
    },
  },
  kucoin: {
    snapshot: ({ id, bids, asks }) => ({
      url: 'https://api.kucoin.com/api/v3/market/orderbook/level2?symbol=BTC-USDT',
      body: JSON.stringify({ code: '200000', data: { time: START_US / 1000, sequence: String(id), bids, asks } }),
    }),
    change: ({ id, bids, asks }, ms) => {
      const rows = (levels: Level[]): string[][] => levels.map(([price, size]) => [price, size, String(id)]);
      const data = {
        changes: { asks: rows(asks), bids: rows(bids) },
        sequenceStart: id,
        sequenceEnd: id,
        symbol: 'BTC-USDT',
        time: ms,
      };
      return JSON.stringify({ type: 'message', topic: '/market/level2:BTC-USDT', subject: 'trade.l2update', data });
    },
    trade: (id, ms) => {
      const trade = {
        sequence: String(id),
        symbol: 'BTC-USDT',
        side: 'buy',
        size: '0.5',
        price: '1000.0',
        time: `${ms}000000`,
      };
      const top = {
        bestAsk: '1000.0',
        bestAskSize: '2.5',
        bestBid: '999.9',
        bestBidSize: '1.5',
        price: '1000.0',
        size: '0.5',
      };
      const frame = (topic: string, subject: string, data: object): string =>
        JSON.stringify({ type: 'message', topic: `${topic}:BTC-USDT`, subject, data });
      return [
        frame('/market/match', 'trade.l3match', { ...trade, type: 'match', tradeId: String(id) }),
        frame('/market/ticker', 'trade.ticker', { ...top, sequence: String(FIRST_ID + id), time: ms }),
      ];
    },
  },
  okx: {
    snapshot: (step) => ({ frame: okxFrame('snapshot', step, START_US / 1000) }),
    change: (step, ms) => okxFrame('update', step, ms),
    trade: (id, ms) => {
      const trade = { instId: 'BTC-USDT', tradeId: String(id), px: '1000.0', sz: '0.5', side: 'buy', ts: String(ms) };
      const day = { open24h: '950', high24h: '1100', low24h: '900', vol24h: '10', volCcy24h: '9900', ts: String(ms) };
      const top = { askPx: '1000.0', askSz: '2.5', bidPx: '999.9', bidSz: '1.5' };
      const ticker = { instType: 'SPOT', instId: 'BTC-USDT', last: '1000.0', lastSz: '0.5', ...top, ...day };
      return [
        JSON.stringify({ arg: { channel: 'trades', instId: 'BTC-USDT' }, data: [trade] }),
        JSON.stringify({ arg: { channel: 'tickers', instId: 'BTC-USDT' }, data: [ticker] }),
      ];
    },
  },
};
