import type { IncomingMessage } from 'node:http';
import { BlockList, isIP } from 'node:net';

const UNKNOWN = 'unknown';
/** A longer chain than this was not built by our own proxies. */
const FORWARDED_LIMIT_CHARS = 1_024;

export type ClientAddress = (request: IncomingMessage) => string;

/**
 * The address that limits are counted by: the socket's own, or, when that is one of `trustedProxies` (addresses or networks), the last
 * one in `X-Forwarded-For` that is not. What a client writes there itself stands further left and is never reached.
 */
export function clientAddressBehind(trustedProxies: readonly string[]): ClientAddress {
  const trusted = new BlockList();
  for (const proxy of trustedProxies) {
    const [host = '', bits] = proxy.split('/');
    const family = isIP(host) === 6 ? 'ipv6' : 'ipv4';
    if (bits === undefined) trusted.addAddress(host, family);
    else trusted.addSubnet(host, Number(bits), family);
  }
  const isTrusted = (address: string): boolean => {
    const family = isIP(address);
    return family !== 0 && trusted.check(address, family === 6 ? 'ipv6' : 'ipv4');
  };
  return (request) => {
    let address = plainAddress(request.socket.remoteAddress ?? UNKNOWN);
    const forwarded = String(request.headers['x-forwarded-for'] ?? '');
    if (!isTrusted(address) || forwarded.length > FORWARDED_LIMIT_CHARS) return address;
    for (const hop of forwarded.split(',').reverse()) {
      const claimed = plainAddress(hop.trim());
      if (isIP(claimed) === 0) return address;
      address = claimed;
      if (!isTrusted(address)) return address;
    }
    return address;
  };
}

/** A dual-stack socket reports IPv4 peers as `::ffff:a.b.c.d`: the same client must not count as two. */
function plainAddress(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  return mapped ? mapped[1]! : address;
}
