import type { SandboxVenue } from '../tape.ts';
import { createBinanceDecoder } from './binance.ts';
import { createCoinbaseDecoder } from './coinbase.ts';
import { createKrakenDecoder } from './kraken.ts';
import { createKucoinDecoder } from './kucoin.ts';
import { createOkxDecoder } from './okx.ts';
import { asObject, asText } from './decoder.ts';
import type { Decoder, Json } from './decoder.ts';

const DECODERS: Readonly<Record<SandboxVenue, () => Decoder>> = {
  binance: () => createBinanceDecoder('binance'),
  binanceusdm: () => createBinanceDecoder('binanceusdm'),
  kraken: createKrakenDecoder,
  coinbase: createCoinbaseDecoder,
  kucoin: createKucoinDecoder,
  okx: createOkxDecoder,
};

export function createDecoder(venue: SandboxVenue): Decoder {
  return DECODERS[venue]();
}

export type Detected = SandboxVenue | 'kraken-v1';

/** Which exchange speaks like this; undefined for a frame that says nothing about it (an ack, a heartbeat). */
export function detectVenue(raw: string): Detected | undefined {
  let message: unknown;
  try {
    message = JSON.parse(raw);
  } catch {
    // Recorders store broken frames too; the next one will tell.
    return undefined;
  }
  if (Array.isArray(message)) return isKrakenV1(message) ? 'kraken-v1' : undefined;
  const frame = asObject(message);
  if (frame['event'] === 'systemStatus') return 'kraken-v1';
  if (typeof frame['sequence_num'] === 'number' && typeof frame['channel'] === 'string') return 'coinbase';
  if (typeof frame['topic'] === 'string' && frame['topic'].startsWith('/')) return 'kucoin';
  if (typeof asObject(frame['arg'])['channel'] === 'string') return 'okx';
  if (typeof frame['channel'] === 'string' && Array.isArray(frame['data'])) return detectKraken(frame);
  return detectBinance(asObject(frame['data'] ?? frame));
}

/** [channelId, data ..., "book-1000", "XBT/USD"] */
function isKrakenV1(message: readonly unknown[]): boolean {
  return typeof message[0] === 'number' && typeof message.at(-1) === 'string' && typeof message.at(-2) === 'string';
}

function detectKraken(frame: Json): Detected | undefined {
  return ['book', 'trade', 'ticker', 'ohlc'].includes(asText(frame['channel'])) ? 'kraken' : undefined;
}

function detectBinance(data: Json): Detected | undefined {
  if (data['e'] === 'depthUpdate') return 'pu' in data ? 'binanceusdm' : 'binance';
  // Spot's bookTicker is the only one without an event name; futures' has one, and futures' trades lack the "M" flag.
  if (data['e'] === 'bookTicker') return 'binanceusdm';
  if (data['e'] === 'trade' || data['e'] === 'aggTrade') return 'M' in data ? 'binance' : 'binanceusdm';
  return data['e'] === undefined && typeof data['u'] === 'number' && 'B' in data ? 'binance' : undefined;
}
