import type { TapeEvent } from '../tape.ts';
import { damaged, parseRequest, textList, Topics } from '../venue.ts';
import type { Damage, Deliver, Peer, RestReply, RestRequest, VenueDriver, VenueServices } from '../venue.ts';
import { createBinanceRest } from './binance-rest.ts';
import { createBinanceWire } from './binance-wire.ts';
import type { BinanceVenue } from './binance-wire.ts';

/** `btcusdt@depth@100ms`, `!miniTicker@arr`: the symbol (absent for all), the kind of stream, its interval. */
const STREAM =
  /^(?:(?<id>[^@!\s]+)@|!)(?<kind>depth|trade|aggTrade|bookTicker|ticker|miniTicker|kline_[0-9a-zA-Z]+)(?:@(?:arr|[0-9]+ms))*$/;

/** How a client wants one stream: bare payloads under `/ws`, wrapped with the stream's name under `/stream`. */
type Subscription = Readonly<{ name: string; wrapped: boolean }>;
type Send = (topic: string, payload: () => string) => void;

/** Spot, and USD-margined futures. */
export class BinanceDriver implements VenueDriver {
  readonly venue: BinanceVenue;
  readonly #services: VenueServices;
  readonly #topics = new Topics<Subscription>();
  readonly #wire: ReturnType<typeof createBinanceWire>;
  readonly #rest: ReturnType<typeof createBinanceRest>;

  constructor(venue: BinanceVenue, services: VenueServices) {
    this.venue = venue;
    this.#services = services;
    this.#wire = createBinanceWire(venue, services.source);
    this.#rest = createBinanceRest(venue, services, this.#wire);
  }

  rest(request: RestRequest): RestReply {
    return this.#rest.rest(request);
  }

  snapshotSymbol(request: RestRequest): string | undefined {
    return this.#rest.snapshotSymbol(request);
  }

  /** `/ws/btcusdt@trade/ethusdt@trade` and `/stream?streams=btcusdt@trade/ethusdt@trade` subscribe by the address itself. */
  opened(peer: Peer): void {
    const names = [...peer.path.split('/'), ...(peer.query.get('streams') ?? '').split('/')];
    const streams = names.filter((name) => topicOf(name) !== undefined);
    if (streams.length === 0) return;
    this.#join(peer, streams);
    this.#services.subscribed();
  }

  closed(peer: Peer): void {
    this.#topics.drop(peer);
  }

  /** The exchange's heartbeats are WebSocket pings, which the server sends to everyone. */
  tick(): void {}

  publish(original: TapeEvent, deliver: Deliver, damage?: Damage): void {
    // All but the first event of a recorded frame: the frame has left already.
    if (original.raw === '') return;
    const event = damaged(original, damage);
    this.#streams(event, (topic, payload) => {
      const peers = this.#topics.of(topic);
      if (peers === undefined) return;
      const text = payload();
      for (const [peer, { name, wrapped }] of peers) {
        deliver(peer, wrapped ? `{"stream":${JSON.stringify(name)},"data":${text}}` : text);
      }
    });
  }

  message(peer: Peer, text: string): void {
    const request = parseRequest(text);
    const id = request?.['id'] ?? null;
    const reply = (body: object): void => peer.send(JSON.stringify({ ...body, id }));
    const names = textList(request?.['params']);
    switch (request?.['method']) {
      case 'SUBSCRIBE': {
        const bad = names.find((name) => topicOf(name) === undefined);
        if (bad !== undefined || names.length === 0) {
          return reply({ error: { code: 2, msg: `Invalid request: invalid stream ${bad ?? ''}` } });
        }
        this.#join(peer, names);
        // ccxt drops changes that come before this answer, so it leaves before the source may start.
        reply({ result: null });
        return this.#services.subscribed();
      }
      case 'UNSUBSCRIBE':
        for (const name of names) this.#topics.remove(topicOf(name) ?? '', peer);
        return reply({ result: null });
      case 'LIST_SUBSCRIPTIONS':
        return reply({ result: [...this.#topics.all()].flatMap(([, peers]) => peers.get(peer)?.name ?? []) });
      case undefined:
        return reply({ error: { code: 3, msg: 'Invalid JSON: expected value at line 1 column 1' } });
      default:
        return reply({
          error: { code: 2, msg: 'Invalid request: unknown variant, expected SUBSCRIBE or UNSUBSCRIBE' },
        });
    }
  }

  #join(peer: Peer, names: readonly string[]): void {
    const wrapped = !/\/ws(\/|$)/.test(peer.path);
    for (const name of names) this.#topics.add(topicOf(name)!, peer, { name, wrapped });
  }

  #streams(event: TapeEvent, send: Send): void {
    const wire = this.#wire;
    const id = wire.idOf(event.symbol).toLowerCase();
    switch (event.kind) {
      case 'book':
        // Asked for whether heard or not: futures chain each change to the one before.
        return send(`${id}@depth`, wire.book(event));
      case 'trade':
        send(`${id}@trade`, () => wire.trade(event, 'trade'));
        return send(`${id}@aggTrade`, () => wire.trade(event, 'aggTrade'));
      case 'top':
        send(`${id}@bookTicker`, () => wire.top(event));
        return send('!bookTicker', () => wire.top(event));
      case 'ticker':
        send(`${id}@ticker`, () => wire.ticker(event, '24hrTicker'));
        send(`${id}@miniTicker`, () => wire.ticker(event, '24hrMiniTicker'));
        send('!ticker', () => `[${wire.ticker(event, '24hrTicker')}]`);
        return send('!miniTicker', () => `[${wire.ticker(event, '24hrMiniTicker')}]`);
      case 'candle':
        return send(`${id}@kline_${event.timeframe}`, () => wire.candle(event));
    }
  }
}

/** Streams that differ only in their interval carry the same frames here. Unknown symbols are accepted and quiet, as in life. */
function topicOf(name: string): string | undefined {
  const groups = STREAM.exec(name)?.groups;
  if (groups === undefined) return undefined;
  return groups['id'] === undefined ? `!${groups['kind']}` : `${groups['id'].toLowerCase()}@${groups['kind']}`;
}
