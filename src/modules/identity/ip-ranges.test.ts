import { BlockList, isIP } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isAllowedIp, normalizeRange } from './ip-ranges.ts';
import { ipSubject, storedOrigin } from './origin.ts';

const ipv4 = fc.ipV4();
const ipv6 = fc.ipV6().filter((ip) => isIP(ip) === 6);

describe('address ranges', () => {
  it.each([
    ['203.0.113.7', '203.0.113.7/32'],
    ['203.0.113.7/24', '203.0.113.0/24'],
    ['10.1.2.3/8', '10.0.0.0/8'],
    ['::ffff:203.0.113.7', '203.0.113.7/32'],
    ['::ffff:cb00:7107/120', '203.0.113.0/24'],
    ['2001:DB8::1/48', '2001:db8::/48'],
    ['2001:db8:0:0:1:2:3:4', '2001:db8:0:0:1:2:3:4/128'],
    ['::1', '0:0:0:0:0:0:0:1/128'],
  ])('%s is written as %s', (text, normal) => {
    expect(normalizeRange(text)).toBe(normal);
    expect(normalizeRange(normal)).toBe(normal);
  });

  it.each([
    '',
    ' ',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/+8',
    '10.0.0.0/08',
    '10.0.0.0/8/8',
    '10.0.0.0/',
    '/8',
    '10.0.0',
    '010.0.0.1',
    '10.0.0.1\n',
    '0x0a.0.0.1',
    '10.0.0.1/8.0',
    '::/129',
    'fe80::1%eth0',
    '0.0.0.0/0',
    '0.0.0.0/7',
    '::/0',
    '::/31',
    '::ffff:0:0/96',
    '::ffff:0:0/95',
    '::/32',
    'localhost',
    '１０.0.0.1',
    '10.0.0.1/１',
  ])('%j is refused', (text) => {
    expect(normalizeRange(text)).toBeNull();
  });

  it('hold the same addresses as the system’s own, IPv4', () => {
    fc.assert(
      fc.property(ipv4, fc.integer({ min: 8, max: 32 }), ipv4, (network, prefix, ip) => {
        const list = new BlockList();
        list.addSubnet(network, prefix, 'ipv4');
        const range = normalizeRange(`${network}/${prefix}`)!;
        for (const each of [ip, network]) {
          expect(isAllowedIp(each, [range])).toBe(list.check(each));
          expect(isAllowedIp(`::ffff:${each}`, [range])).toBe(list.check(each));
        }
      }),
    );
  });

  it('hold the same addresses as the system’s own, IPv6', () => {
    fc.assert(
      fc.property(ipv6, fc.integer({ min: 32, max: 128 }), ipv6, (network, prefix, ip) => {
        const range = normalizeRange(`${network}/${prefix}`);
        fc.pre(range !== null && !range.includes('.'));
        const list = new BlockList();
        list.addSubnet(network, prefix, 'ipv6');
        for (const each of [ip, network]) expect(isAllowedIp(each, [range])).toBe(list.check(each, 'ipv6'));
      }),
    );
  });

  it('of an empty list allow all, and nothing that is no address is in any other', () => {
    expect(isAllowedIp('203.0.113.7', [])).toBe(true);
    expect(isAllowedIp('unknown', ['10.0.0.0/8'])).toBe(false);
    expect(isAllowedIp('10.1.1.1%lo', ['10.0.0.0/8'])).toBe(false);
    expect(isAllowedIp('127.0.0.2', ['127.0.0.1/32'])).toBe(false);
  });
});

describe('whom tries are counted against', () => {
  const subject = (ip: string) => ipSubject(storedOrigin({ ip, userAgent: null, requestId: null }));
  it.each([
    ['203.0.113.7', '203.0.113.7'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::9', '2001:db8:1:2::/64'],
    ['2001:0DB8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['64:ff9b::1.2.3.4', '64:ff9b:0:0::/64'],
    ['nonsense', 'unknown'],
  ])('%s counts as %s', (ip, expected) => {
    expect(subject(ip)).toBe(expected);
  });

  it('is one customer, whatever of a /64 it uses', () => {
    fc.assert(
      fc.property(ipv6, (ip) => {
        fc.pre(!/^::ffff:[0-9.]+$/i.test(ip));
        const [a, b] = [subject(ip), `${subject(ip).slice(0, -'::/64'.length)}:1:2:3:4`];
        const range = normalizeRange(`${b}/64`);
        // The /64 that holds all of IPv4 is no range for a list.
        if (range !== null) expect(isAllowedIp(ip, [range])).toBe(true);
        expect(subject(b)).toBe(a);
      }),
    );
  });
});
