import type { TapeEvent } from '../tape.ts';
import { damaged, parseRequest, textList, Topics } from '../venue.ts';
import type { Deliver, Peer, VenueDriver, VenueFactory } from '../venue.ts';
import { createBinanceRest } from './binance-rest.ts';
import { createBinanceWire } from './binance-wire.ts';
import type { BinanceVenue } from './binance-wire.ts';

/** `btcusdt@depth@100ms`, `!miniTicker@arr`: the symbol (empty for all), the kind of stream, its interval. */
const STREAM =
  /^(?:(?<id>[^@!\s]+)@|!)(?<kind>depth|trade|aggTrade|bookTicker|ticker|miniTicker|kline_[0-9a-zA-Z]+)(?:@(?:arr|[0-9]+ms))*$/;

/** How a client wants one stream: bare payloads under `/ws`, wrapped with the stream's name under `/stream`. */
type Subscription = Readonly<{ name: string; wrapped: boolean }>;

export function createBinance(venue: BinanceVenue): VenueFactory {
  return (services) => {
    const topics = new Topics<Subscription>();
    const wire = createBinanceWire(venue, services.source);
    const { rest, snapshotSymbol } = createBinanceRest(venue, services, wire);

    const send = (topic: string, text: () => string, deliver: Deliver): void => {
      const peers = topics.of(topic);
      if (peers === undefined) return;
      const payload = text();
      for (const [peer, { name, wrapped }] of peers) {
        deliver(peer, wrapped ? `{"stream":${JSON.stringify(name)},"data":${payload}}` : payload);
      }
    };
    const subscribe = (peer: Peer, names: readonly string[]): string | undefined => {
      const parsed = names.map((name) => ({ name, topic: topicOf(name) }));
      const bad = parsed.find(({ topic }) => topic === undefined);
      if (bad !== undefined || names.length === 0) return bad?.name ?? '';
      const wrapped = !/\/ws(\/|$)/.test(peer.path);
      for (const { name, topic } of parsed) topics.add(topic!, peer, { name, wrapped });
      return undefined;
    };
    return {
      venue,
      rest,
      snapshotSymbol,
      opened: (peer) => {
        // `/ws/btcusdt@trade/ethusdt@trade` and `/stream?streams=btcusdt@trade/ethusdt@trade` subscribe by the address itself.
        const names = [...peer.path.split('/'), ...(peer.query.get('streams') ?? '').split('/')];
        if (
          subscribe(
            peer,
            names.filter((name) => topicOf(name) !== undefined),
          ) === undefined
        )
          services.subscribed();
      },
      closed: (peer) => topics.drop(peer),
      message: (peer, text) => answer(peer, text, topics, subscribe, services.subscribed),
      publish: (event, deliver, damage) =>
        publish(damaged(event, damage), wire, (topic, payload) => send(topic, payload, deliver)),
      // The exchange's pings are WebSocket ping frames, which the server sends to everyone.
      tick: () => {},
    } satisfies VenueDriver;
  };
}

function publish(
  event: TapeEvent,
  wire: ReturnType<typeof createBinanceWire>,
  send: (topic: string, text: () => string) => void,
): void {
  // All but the first event of a recorded frame: the frame has left already.
  if (event.raw === '') return;
  const id = wire.idOf(event.symbol).toLowerCase();
  switch (event.kind) {
    case 'book':
      // Called for its side effect too: futures chain each change to the one before.
      send(`${id}@depth`, wire.book(event));
      break;
    case 'trade':
      send(`${id}@trade`, () => wire.trade(event, 'trade'));
      send(`${id}@aggTrade`, () => wire.trade(event, 'aggTrade'));
      break;
    case 'top':
      send(`${id}@bookTicker`, () => wire.top(event));
      send('!bookTicker', () => wire.top(event));
      break;
    case 'ticker':
      send(`${id}@ticker`, () => wire.ticker(event, '24hrTicker'));
      send(`${id}@miniTicker`, () => wire.ticker(event, '24hrMiniTicker'));
      send('!ticker', () => `[${wire.ticker(event, '24hrTicker')}]`);
      send('!miniTicker', () => `[${wire.ticker(event, '24hrMiniTicker')}]`);
      break;
    case 'candle':
      send(`${id}@kline_${event.timeframe}`, () => wire.candle(event));
      break;
  }
}

function answer(
  peer: Peer,
  text: string,
  topics: Topics<Subscription>,
  subscribe: (peer: Peer, names: readonly string[]) => string | undefined,
  subscribed: () => void,
): void {
  const request = parseRequest(text);
  const id = request?.['id'] ?? null;
  const reply = (body: object): void => peer.send(JSON.stringify({ ...body, id }));
  const names = textList(request?.['params']);
  switch (request?.['method']) {
    case 'SUBSCRIBE': {
      const bad = subscribe(peer, names);
      if (bad !== undefined) return reply({ error: { code: 2, msg: `Invalid request: invalid stream ${bad}` } });
      // ccxt drops changes that come before this answer, so it leaves before the source may start.
      reply({ result: null });
      return subscribed();
    }
    case 'UNSUBSCRIBE':
      for (const name of names) topics.remove(topicOf(name) ?? '', peer);
      return reply({ result: null });
    case 'LIST_SUBSCRIPTIONS': {
      const mine = [...topics.all()].flatMap(([, peers]) => peers.get(peer)?.name ?? []);
      return reply({ result: mine });
    }
    case undefined:
      return reply({ error: { code: 3, msg: 'Invalid JSON: expected value at line 1 column 1' } });
    default:
      return reply({ error: { code: 2, msg: 'Invalid request: unknown variant, expected SUBSCRIBE or UNSUBSCRIBE' } });
  }
}

/** Streams that differ only in their interval carry the same frames here. Unknown symbols are accepted and quiet, as in life. */
function topicOf(name: string): string | undefined {
  const groups = STREAM.exec(name)?.groups;
  if (groups === undefined) return undefined;
  return groups['id'] === undefined ? `!${groups['kind']}` : `${groups['id'].toLowerCase()}@${groups['kind']}`;
}
