import type { IncomingMessage } from 'node:http';
import { expect, test } from 'vitest';
import { clientAddressBehind } from './client-address.ts';

function requestFrom(remoteAddress: string | undefined, forwarded?: string): IncomingMessage {
  const headers = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded };
  return { socket: { remoteAddress }, headers } as unknown as IncomingMessage;
}

test.each([
  ['a client cannot choose its own address', [], '203.0.113.9', '1.2.3.4', '203.0.113.9'],
  ['a trusted proxy is believed', ['10.0.0.1'], '10.0.0.1', '203.0.113.9', '203.0.113.9'],
  [
    'what a client wrote in front of the proxy is not',
    ['10.0.0.0/8'],
    '10.1.2.3',
    '1.2.3.4, 203.0.113.9',
    '203.0.113.9',
  ],
  ['a chain of our proxies is followed', ['10.0.0.0/8'], '10.1.2.3', '203.0.113.9, 10.9.9.9', '203.0.113.9'],
  ['a chain of nothing but proxies ends at its first', ['10.0.0.0/8'], '10.1.2.3', '10.4.4.4, 10.9.9.9', '10.4.4.4'],
  ['nonsense stops the walk', ['10.0.0.0/8'], '10.1.2.3', '203.0.113.9, unknown', '10.1.2.3'],
  ['an endless header is not read', ['10.0.0.0/8'], '10.1.2.3', '1.1.1.1,'.repeat(200), '10.1.2.3'],
  ['a dual-stack socket is the same client', ['10.0.0.1'], '::ffff:10.0.0.1', '::ffff:203.0.113.9', '203.0.113.9'],
  ['IPv6 works', ['2001:db8::/32'], '2001:db8::1', '2001:db9::7', '2001:db9::7'],
  ['a socket that is gone already has an address too', [], undefined, undefined, 'unknown'],
])('limits are counted by the right address: %s', (_, proxies, remote, forwarded, expected) => {
  expect(clientAddressBehind(proxies)(requestFrom(remote, forwarded))).toBe(expected);
});
