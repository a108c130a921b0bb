import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseStrictJson } from './strict-json.ts';

const parse = (text: string) => parseStrictJson(Buffer.from(text));

describe('a body that two readers could read differently is refused', () => {
  it.each<[string, string | Buffer]>([
    ['a key twice', '{"a":1,"a":2}'],
    ['a key twice, once escaped', '{"a":1,"\\u0061":2}'],
    ['a key twice, deep inside', '[{"b":[{"a":1,"c":{},"a":2}]}]'],
    ['a key twice, around a nested object', '{"a":{"x":1},"b":[1,{"y":2}],"a":3}'],
    ['__proto__', '{"__proto__":{"a":1}}'],
    ['__proto__ in escapes', '{"\\u005f_proto__":1}'],
    ['constructor.prototype', '{"a":{"constructor":{"prototype":{}}}}'],
    ['a NUL', '{"a":"x\\u0000y"}'],
    ['a NUL in a key', '{"\\u0000":1}'],
    ['half of a surrogate pair', '["\\ud800"]'],
    ['the other half', '["\\udc00x"]'],
    ['seventeen levels', '['.repeat(17) + ']'.repeat(17)],
    ['eight thousand levels', '['.repeat(8_000) + ']'.repeat(8_000)],
    ['a BOM', Buffer.from('\ufeff{}')],
    ['UTF-16', Buffer.from('{}', 'utf16le')],
    ['overlong UTF-8', Buffer.from([0x22, 0xc0, 0xaf, 0x22])],
    ['a raw surrogate', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])],
    ['a comment', '{"a":1/**/}'],
    ['nothing', ''],
    ['a number out of JSON', '{"a":NaN}'],
    ['two values', '{}{}'],
  ])('%s', (_name, body) => {
    expect(parseStrictJson(Buffer.from(body))).toMatchObject({ ok: false, code: 'bad_request' });
  });
});

describe('a plain body is taken as it is', () => {
  it.each([
    '{"a":"b","b":"a"}',
    '{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}',
    '{"a":"\\"a\\":1,{[","b":"\\\\"}',
    '["a","a",{"a":"a"},"a"]',
    '{"a":"__proto__"}',
    '"\\ud83d\\ude00"',
    '['.repeat(16) + ']'.repeat(16),
    ' { "a" : 1 , "b" : 2 } ',
  ])('%s', (text) => {
    expect(parse(text)).toEqual({ ok: true, value: JSON.parse(text) });
  });

  it('whatever it holds', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 6, stringUnit: 'grapheme' }), (value) => {
        const text = JSON.stringify(value);
        const odd = /\\u0000|"(__proto__|constructor|prototype)":/.test(text);
        expect(parse(text)).toEqual(
          odd ? expect.objectContaining({ ok: false }) : { ok: true, value: JSON.parse(text) },
        );
      }),
    );
  });
});
