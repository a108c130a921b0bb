import { isIP } from 'node:net';

const BITS = 128n;
const MAPPED_PREFIX = 0xffffn << 32n;
const MAPPED_BITS = 96;
/** A list that allows half of the internet protects nobody. */
const IPV4_PREFIX_MIN = 8;
const IPV6_PREFIX_MIN = 32;

/** IPv4 is seen as the part of IPv6 that maps it, so that both ways of writing an IPv4 address are one. */
type Range = Readonly<{ network: bigint; prefix: number }>;

/** `203.0.113.7`, `203.0.113.0/24`, `2001:db8::/48`, in one way of writing. Null: not a range, or too wide. */
export function normalizeRange(text: string): string | null {
  const range = readRange(text);
  if (!range) return null;
  const { network, prefix } = range;
  if (prefix >= MAPPED_BITS && network >> 32n === 0xffffn) {
    if (prefix - MAPPED_BITS < IPV4_PREFIX_MIN) return null;
    return `${writeIpv4(network)}/${prefix - MAPPED_BITS}`;
  }
  const holdsIpv4 = mask(MAPPED_PREFIX, prefix) === network;
  return prefix < IPV6_PREFIX_MIN || holdsIpv4 ? null : `${writeIpv6(network)}/${prefix}`;
}

/** An empty list allows every address. */
export function isAllowedIp(ip: string, list: readonly string[]): boolean {
  if (list.length === 0) return true;
  const address = readIp(ip);
  return address !== null && list.some((text) => contains(readRange(text), address));
}

function contains(range: Range | null, address: bigint): boolean {
  return range !== null && mask(address, range.prefix) === range.network;
}

function readRange(text: string): Range | null {
  const parts = text.split('/');
  const [ip = '', length] = parts;
  const address = readIp(ip);
  if (address === null || parts.length > 2 || (length !== undefined && !/^(?:0|[1-9][0-9]{0,2})$/.test(length)))
    return null;
  const base = isIP(ip) === 4 ? MAPPED_BITS : 0;
  const prefix = length === undefined ? Number(BITS) : base + Number(length);
  if (prefix > Number(BITS)) return null;
  return { network: mask(address, prefix), prefix };
}

function mask(address: bigint, prefix: number): bigint {
  const free = BITS - BigInt(prefix);
  return (address >> free) << free;
}

/** Null: no address, or one with a zone, which means something on one machine only. */
function readIp(ip: string): bigint | null {
  const kind = isIP(ip);
  if (kind === 4) return MAPPED_PREFIX | readIpv4(ip);
  if (kind !== 6 || ip.includes('%')) return null;
  const dotted = /^(.*:)([0-9.]+\.[0-9.]+)$/.exec(ip);
  const hex = dotted ? `${dotted[1]}${dottedGroups(readIpv4(dotted[2]!))}` : ip;
  const [head = '', tail] = hex.split('::');
  const left = head.split(':').filter(Boolean);
  const right = (tail ?? '').split(':').filter(Boolean);
  const zeros = tail === undefined ? 0 : 8 - left.length - right.length;
  const groups = [...left, ...Array.from({ length: zeros }, () => '0'), ...right];
  return groups.reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n);
}

function readIpv4(ip: string): bigint {
  return ip.split('.').reduce((sum, part) => (sum << 8n) | BigInt(part), 0n);
}

function dottedGroups(value: bigint): string {
  return `${(value >> 16n).toString(16)}:${(value & 0xffffn).toString(16)}`;
}

function writeIpv4(address: bigint): string {
  return [24n, 16n, 8n, 0n].map((shift) => (address >> shift) & 0xffn).join('.');
}

function writeIpv6(address: bigint): string {
  const groups = Array.from({ length: 8 }, (_, index) => (address >> BigInt(112 - index * 16)) & 0xffffn);
  const text = groups.map((group) => group.toString(16)).join(':');
  // Only a tail of zeros is shortened: networks have one, and one rule is enough for one way of writing.
  return text.replace(/(?::0){2,}$/, '::');
}
