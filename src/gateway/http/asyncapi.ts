import { CLOSE_CODES, mayReconnect } from '../../protocol/close-codes.ts';
import { ERRORS } from '../../protocol/errors.ts';
import { CONNECTION_LIMITS, RETENTION_LIMITS, SNAPSHOT_LIMITS } from '../../protocol/limits.ts';
import { METHODS } from '../../protocol/methods.ts';
import type { MethodName } from '../../protocol/methods.ts';
import { BOOK_DEPTHS, BOOK_RATES_MS, TIMEFRAMES_MS } from '../../protocol/streams.ts';
import {
  CHANNELS,
  CHANNEL_DATA,
  EVENT_DATA,
  EVENT_SUMMARIES,
  METHOD_SUMMARIES,
  asyncapiSchemas,
} from './asyncapi-schemas.ts';
import type { Channel, JsonSchema } from './asyncapi-schemas.ts';

type Ref = { $ref: string };
type Message = { name: string; title: string; summary: string; payload: Ref };
export type StreamDoc = Readonly<{ address: string; title: string; description: string; examples: readonly string[] }>;

/** The streams as text: the same table in the AsyncAPI document, on the page and in the tests. */
export const STREAM_DOCS: Readonly<Record<Channel, StreamDoc>> = {
  ticker: {
    address: 'ticker:{venue}:{symbol}',
    title: 'Ticker',
    description: 'Latest price, best bid and ask, 24 h statistics. Latest wins, at most ten a second.',
    examples: ['ticker:binance:BTC/USDT'],
  },
  book: {
    address: 'book:{venue}:{symbol}:{depth}:{rate}',
    title: 'Order book',
    description:
      'A snapshot, then deltas of absolute sizes ("0" deletes). The CRC-32 of the ten best levels proves the copy. ' +
      `Depth ${BOOK_DEPTHS.join(', ')} (default 25), rate ${Object.keys(BOOK_RATES_MS).join(', ')} (default 100ms); both may be left out.`,
    examples: ['book:binance:BTC/USDT', 'book:kraken:BTC/USD:10:1s'],
  },
  trades: {
    address: 'trades:{venue}:{symbol}',
    title: 'Trades',
    description: `The last ${SNAPSHOT_LIMITS.trades}, then every one; never merged, and a loss is said with a gap.`,
    examples: ['trades:kraken:BTC/USD'],
  },
  candles: {
    address: 'candles:{venue}:{symbol}:{timeframe}',
    title: 'Candles',
    description: `Keyed by open time; a closed candle is never skipped. Timeframe ${Object.keys(TIMEFRAMES_MS).join(', ')} (default 1m).`,
    examples: ['candles:coinbase:BTC/USD:1m'],
  },
  venue: {
    address: 'venue:{venue}',
    title: 'Venue health',
    description: 'Whether an exchange is to be believed at the moment, and how it is doing.',
    examples: ['venue:binance'],
  },
  orders: {
    address: 'orders',
    title: 'Your orders',
    description:
      'Your open orders, then every step of an order and every fill. Never merged or left out, whatever you were away for: go on with `since`.',
    examples: ['orders'],
  },
  portfolio: {
    address: 'portfolio',
    title: 'Your balances and positions',
    description: 'Balances and positions, then every change of one, with its cause. Never merged or left out.',
    examples: ['portfolio'],
  },
  notifications: {
    address: 'notifications',
    title: 'Your notifications',
    description: 'The last hundred, then every one; what came before is said with a gap. Never merged or left out.',
    examples: ['notifications'],
  },
  valuation: {
    address: 'valuation',
    title: 'What your portfolio is worth',
    description: 'The portfolio at live prices, at most once a second. Latest wins.',
    examples: ['valuation'],
  },
};

const PARAMETERS: Readonly<
  Record<string, { description: string; examples?: string[]; enum?: string[]; default?: string }>
> = {
  venue: { description: 'id of the exchange', examples: ['binance'] },
  symbol: { description: 'unified symbol', examples: ['BTC/USDT', 'BTC/USDT:USDT'] },
  depth: { description: 'levels a side', enum: BOOK_DEPTHS.map(String), default: '25' },
  rate: { description: 'least time between messages', enum: Object.keys(BOOK_RATES_MS), default: '100ms' },
  timeframe: { description: 'length of a candle', enum: Object.keys(TIMEFRAMES_MS), default: '1m' },
};

export type AsyncapiDocument = Readonly<{
  asyncapi: '3.0.0';
  info: JsonSchema;
  channels: Readonly<Record<string, JsonSchema>>;
  operations: Readonly<Record<string, JsonSchema>>;
  components: Readonly<{ schemas: Record<string, JsonSchema>; messages: Record<string, Message> }>;
  [more: string]: unknown;
}>;

export function createAsyncapiDocument(version: string): AsyncapiDocument {
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Tidewire streams',
      version,
      description:
        'Real-time market data, and what happens to your orders and your money, over two doors that speak the same messages: plain WebSocket at /ws, and Socket.IO ' +
        '(default namespace, WebSocket transport), where a method is an event with an acknowledgement and a push is the event `message`.',
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    defaultContentType: 'application/json',
    servers: {
      plain: { host: 'localhost:3000', pathname: '/ws', protocol: 'ws', description: 'Plain WebSocket' },
      socketio: { host: 'localhost:3000', pathname: '/socket.io/', protocol: 'ws', description: 'Socket.IO 4' },
    },
    channels: {
      connection: connectionChannel(),
      ...Object.fromEntries(CHANNELS.map((channel) => [channel, streamChannel(channel)])),
    },
    operations: operations(),
    components: { schemas: asyncapiSchemas(), messages: messages() },
    'x-errors': ERRORS,
    'x-close-codes': Object.values(CLOSE_CODES).map((each) => ({ ...each, reconnect: mayReconnect(each.code) })),
    'x-limits': { connection: CONNECTION_LIMITS, retention: RETENTION_LIMITS, snapshot: SNAPSHOT_LIMITS },
  };
}

function schemaRef(name: string): Ref {
  return { $ref: `#/components/schemas/${name}` };
}

function messageRefs(names: readonly string[]): Record<string, Ref> {
  return Object.fromEntries(names.map((name) => [name, { $ref: `#/components/messages/${name}` }]));
}

function namesOfChannel(channel: Channel): string[] {
  return Object.keys(CHANNEL_DATA[channel]).map((kind) => `${channel}.${kind}`);
}

const METHOD_NAMES = Object.keys(METHODS) as MethodName[];
const EVENT_NAMES = Object.keys(EVENT_DATA) as (keyof typeof EVENT_DATA)[];

function messages(): Record<string, Message> {
  const all: Message[] = [
    ...CHANNELS.flatMap((channel) =>
      namesOfChannel(channel).map((name) => message(name, `${STREAM_DOCS[channel].title}: ${name.split('.')[1]}`)),
    ),
    ...METHOD_NAMES.flatMap((method) => [
      message(`${method}.request`, METHOD_SUMMARIES[method]),
      message(`${method}.reply`, `Answer to ${method}`),
    ]),
    ...EVENT_NAMES.map((event) => message(`event.${event}`, EVENT_SUMMARIES[event])),
    message('failure', 'Answer to a request that was refused'),
  ];
  return Object.fromEntries(all.map((each) => [each.name, each]));
}

function message(name: string, summary: string): Message {
  return { name, title: name, summary, payload: schemaRef(name) };
}

function connectionChannel(): JsonSchema {
  const names = [
    ...METHOD_NAMES.flatMap((method) => [`${method}.request`, `${method}.reply`]),
    ...EVENT_NAMES.map((event) => `event.${event}`),
    'failure',
  ];
  return {
    address: null,
    title: 'Connection',
    description: 'Requests, their replies, and what the server tells about the connection itself',
    messages: messageRefs(names),
  };
}

function streamChannel(channel: Channel): JsonSchema {
  const { address, title, description } = STREAM_DOCS[channel];
  const names = [...address.matchAll(/\{(\w+)\}/g)].map((match) => match[1]!);
  return {
    address,
    title,
    description,
    parameters: Object.fromEntries(names.map((name) => [name, PARAMETERS[name]!])),
    messages: messageRefs(namesOfChannel(channel)),
  };
}

function operations(): Record<string, JsonSchema> {
  const within = (channel: string, names: readonly string[]) =>
    names.map((name) => ({ $ref: `#/channels/${channel}/messages/${name}` }));
  const channelRef = (channel: string) => ({ $ref: `#/channels/${channel}` });
  const requests = METHOD_NAMES.map((method) => [
    method,
    {
      action: 'receive',
      summary: METHOD_SUMMARIES[method],
      channel: channelRef('connection'),
      messages: within('connection', [`${method}.request`]),
      reply: { channel: channelRef('connection'), messages: within('connection', [`${method}.reply`, 'failure']) },
    },
  ]);
  const pushes = CHANNELS.map((channel) => [
    `push${channel[0]!.toUpperCase()}${channel.slice(1)}`,
    {
      action: 'send',
      summary: STREAM_DOCS[channel].description,
      channel: channelRef(channel),
      messages: within(channel, namesOfChannel(channel)),
    },
  ]);
  const events = {
    action: 'send',
    summary: 'What the server tells about the connection itself',
    channel: channelRef('connection'),
    messages: within(
      'connection',
      EVENT_NAMES.map((event) => `event.${event}`),
    ),
  };
  return { ...Object.fromEntries(requests), ...Object.fromEntries(pushes), tell: events };
}
