import { isIP } from 'node:net';
import type { Origin } from './identity.ts';

const USER_AGENT_LIMIT = 256;
const REQUEST_ID_LIMIT = 128;
const DEVICE_LIMIT = 64;
const DETAILS_LIMIT = 4_096;
const DETAILS_DEPTH = 8;
const TOKEN_LENGTH_LIMIT = 256;

/** As it is stored: `\0` and lone surrogates would make the database refuse the whole act. */
export type StoredOrigin = Readonly<{ ip: string; userAgent: string | null; requestId: string | null }>;

export function storedOrigin(origin: Origin): StoredOrigin {
  return {
    ip: isIP(origin.ip) ? plainIp(origin.ip) : 'unknown',
    userAgent: cleanText(origin.userAgent, USER_AGENT_LIMIT),
    requestId: cleanText(origin.requestId, REQUEST_ID_LIMIT),
  };
}

export function cleanDevice(device: string | undefined): string | null {
  return cleanText(device ?? null, DEVICE_LIMIT);
}

/** The device token as it came, if it can be one at all. */
export function deviceTokenOf(origin: Origin): string | null {
  const token = origin.deviceToken;
  return token === undefined || token.length === 0 || token.length > TOKEN_LENGTH_LIMIT ? null : token;
}

/** Control characters, also those that turn or hide text, become spaces. */
function cleanText(text: string | null, limit: number): string | null {
  return text === null ? null : text.slice(0, limit).toWellFormed().replace(/\p{C}/gu, ' ');
}

/** What others want to see in an audit entry, made fit to be stored; too much of it is left out. */
export function storedDetails(details: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const stored = fit(details, 0) as Readonly<Record<string, unknown>>;
  const { length } = JSON.stringify(stored);
  return length > DETAILS_LIMIT ? { leftOut: `${length} characters` } : stored;
}

function fit(value: unknown, depth: number): unknown {
  if (depth > DETAILS_DEPTH) return 'left out';
  if (typeof value === 'string') return cleanText(value, DETAILS_LIMIT);
  if (typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return value.slice(0, DETAILS_LIMIT).map((item: unknown) => fit(item, depth + 1));
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).map(([name, item]) => [cleanText(name, DETAILS_LIMIT), fit(item, depth + 1)]);
  return Object.fromEntries(fields) as unknown;
}

/** An IPv4 address that came through an IPv6 socket is an IPv4 address. */
function plainIp(ip: string): string {
  const mapped = /^::ffff:([0-9.]+)$/i.exec(ip)?.[1];
  return mapped !== undefined && isIP(mapped) === 4 ? mapped : ip;
}

/** Whom tries are counted against: one IPv4 address, or one IPv6 /64, because that is what one customer gets. */
export function ipSubject(origin: StoredOrigin): string {
  if (isIP(origin.ip) !== 6) return origin.ip;
  const [head = '', tail] = origin.ip.split('%')[0]!.split('::');
  const left = head.split(':').filter(Boolean);
  const right = (tail ?? '').split(':').filter(Boolean);
  // A dotted end is two groups in one; it never reaches into the first four.
  const missing = tail === undefined ? 0 : 8 - left.length - right.length - (origin.ip.includes('.') ? 1 : 0);
  const groups = [...left, ...Array.from({ length: missing }, () => '0'), ...right];
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`;
}
