import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EMPTY_BODY_HASH, isSignable, signingText } from './signing.ts';
import type { SigningFields } from './signing.ts';

const FIELDS: SigningFields = {
  keyId: 'twk_AAAAAAAAAAAAAAAAAAAAAA',
  timestampMs: 1_900_000_000_000,
  recvWindowMs: 5_000,
  nonce: 'n0nce-n0nce-n0nce',
  method: 'POST',
  path: '/v1/orders?b=2&a=1&b=1',
  bodyHash: EMPTY_BODY_HASH,
};

const letters = (from: string, min: number, max: number) =>
  fc.string({ unit: fc.constantFrom(...from.split('')), minLength: min, maxLength: max });
const NAMES = 'abAB_-%20.';
const query = fc.array(fc.tuple(letters(NAMES, 1, 3), letters(`${NAMES}=`, 0, 3)), { maxLength: 5 });
const path = letters('/abc-', 0, 8);

describe('the text that a key signs', () => {
  it('is exactly this', () => {
    expect(signingText(FIELDS)).toBe(
      [
        'TIDEWIRE1',
        'twk_AAAAAAAAAAAAAAAAAAAAAA',
        '1900000000000',
        '5000',
        'n0nce-n0nce-n0nce',
        'POST',
        '/v1/orders',
        'a=1&b=2&b=1',
        'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
      ].join('\n'),
    );
    expect(signingText({ ...FIELDS, path: '/v1/orders' })).toBe(signingText({ ...FIELDS, path: '/v1/orders?' }));
  });

  it('does not depend on the order of differently named parameters, and does on that of equally named ones', () => {
    fc.assert(
      fc.property(path, query, (pathname, pairs) => {
        const write = (list: readonly (readonly [string, string])[]) =>
          signingText({ ...FIELDS, path: `/${pathname}?${list.map((pair) => pair.join('=')).join('&')}` });
        const byName = Map.groupBy(pairs, ([name]) => name);
        expect(write([...byName.values()].toReversed().flat())).toBe(write(pairs));
        const reversed = pairs.toReversed();
        const sameLists = [...byName].every(
          ([name, list]) =>
            list.map(String).join('|') ===
            reversed
              .filter((pair) => pair[0] === name)
              .map(String)
              .join('|'),
        );
        expect(write(reversed) === write(pairs)).toBe(sameLists);
      }),
    );
  });

  it('is another for every other request', () => {
    const field = fc.record({
      keyId: letters('Aa-', 22, 22).map((id) => `twk_${id}`),
      timestampMs: fc.integer({ min: 1, max: 100 }),
      recvWindowMs: fc.integer({ min: 1, max: 100 }),
      nonce: letters('ab', 16, 18),
      method: letters('AB', 1, 3),
      path: letters('/ab?=', 0, 5).map((rest) => `/${rest}`),
      bodyHash: letters('0a', 64, 64),
    });
    fc.assert(
      fc.property(field, field, fc.constantFrom(...(Object.keys(FIELDS) as (keyof SigningFields)[])), (a, b, name) => {
        const other = { ...a, [name]: b[name] };
        // With one pair at most, only an empty query and none are the same request.
        const plain = (each: SigningFields) => JSON.stringify({ ...each, path: each.path.replace(/\?$/, '') });
        expect(signingText(a) === signingText(other)).toBe(plain(a) === plain(other));
      }),
    );
  });

  it.each<[string, Partial<SigningFields>]>([
    ['a line end in the path', { path: '/v1/orders\n' }],
    ['a space in the path', { path: '/v1/or ders' }],
    ['a path without a slash', { path: 'v1' }],
    ['another host', { path: 'http://x/v1' }],
    ['a fragment', { path: '/v1#x' }],
    ['letters beyond ASCII', { path: '/v1/é' }],
    ['a line end in the nonce', { nonce: 'n0nce-n0nce-n0nce\n' }],
    ['a short nonce', { nonce: 'short' }],
    ['a long nonce', { nonce: 'x'.repeat(65) }],
    ['a method in lower case', { method: 'post' }],
    ['a timestamp with a fraction', { timestampMs: 1.5 }],
    ['a timestamp in nanoseconds', { timestampMs: 1.9e18 }],
    ['a negative timestamp', { timestampMs: -1 }],
    ['no number', { timestampMs: Number.NaN }],
    ['a window of more than a minute', { recvWindowMs: 60_001 }],
    ['no window', { recvWindowMs: 0 }],
    ['a hash in upper case', { bodyHash: EMPTY_BODY_HASH.toUpperCase() }],
    ['a key id of another kind', { keyId: 'twt_AAAAAAAAAAAAAAAAAAAAAA' }],
  ])('is not made from %s', (_, wrong) => {
    expect(isSignable({ ...FIELDS, ...wrong })).toBe(false);
    expect(() => signingText({ ...FIELDS, ...wrong })).toThrow(RangeError);
  });
});
