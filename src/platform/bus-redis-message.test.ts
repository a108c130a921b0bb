import fc from 'fast-check';
import { expect, it } from 'vitest';
import { BookDeltaData, StreamMessageSchema, TickerData, TradesData } from '../protocol/messages.ts';
import { isSoundMessage } from './bus-redis-message.ts';

const DECIMALS = [
  '0',
  '1',
  '61837.63',
  '-0.5',
  '00',
  '1.',
  '.5',
  '1e5',
  ' 1',
  '1\n',
  '',
  '1'.repeat(64),
  '1'.repeat(65),
];
const text = fc.oneof(fc.constantFrom(...DECIMALS), fc.constant('61837.63'));
/** What JSON can hold where something else belongs. */
const strange = fc.oneof(
  fc.constantFrom(null, true, 0, -1, 1.5, 2 ** 60, 0xffffffff, 0x1_0000_0000, '', 'x', [], {}, [['1', '2']], [1, 2]),
  text,
);
const mostly = <T>(usual: fc.Arbitrary<T>): fc.Arbitrary<unknown> =>
  fc.oneof({ arbitrary: usual, weight: 40 }, { arbitrary: strange, weight: 1 });
const decimal = mostly(fc.constantFrom('1', '0.25', '61837.63'));
const level = mostly(
  fc.oneof(
    { arbitrary: fc.tuple(decimal, decimal), weight: 40 },
    { arbitrary: fc.constantFrom(['1'], ['1', '2', '3']), weight: 1 },
  ),
);
const levels = mostly(fc.array(level, { maxLength: 3 }));
const whole = mostly(fc.integer({ min: 0, max: 2_000 }));

/** A record that mostly has all its fields and none besides. */
function fields(required: Record<string, fc.Arbitrary<unknown>>, optional: Record<string, fc.Arbitrary<unknown>> = {}) {
  const usual = fc.record({ ...required, ...optional }, { requiredKeys: Object.keys(required) });
  const lacking = fc.record({ ...required, ...optional }, { requiredKeys: [] });
  const more = fc.tuple(usual, fc.constantFrom('x', '__proto__', 'constructor', 'length')).map(([record, key]) => {
    // As JSON.parse makes it: a key of its own, whatever its name.
    return JSON.parse(`{${JSON.stringify(key)}:1,${JSON.stringify(record).slice(1)}`.replace(',}', '}')) as unknown;
  });
  return fc.oneof({ arbitrary: usual, weight: 20 }, { arbitrary: lacking, weight: 1 }, { arbitrary: more, weight: 1 });
}

const trade = mostly(
  fields({
    id: mostly(fc.constantFrom('', '1', 'i'.repeat(128), 'i'.repeat(129))),
    price: decimal,
    size: decimal,
    side: mostly(fc.constantFrom('buy', 'sell', null)),
    ts: whole,
  }),
);
const nullable = mostly(fc.oneof(decimal, fc.constant(null)));
const CHANNELS = {
  book: { kind: 'delta', schema: BookDeltaData, data: fields({ bids: levels, asks: levels }, { checksum: whole }) },
  trades: { kind: 'update', schema: TradesData, data: fields({ trades: mostly(fc.array(trade, { maxLength: 3 })) }) },
  ticker: {
    kind: 'update',
    schema: TickerData,
    data: fields(Object.fromEntries(Object.keys(TickerData.shape).map((key) => [key, nullable]))),
  },
} as const;

it.each(Object.entries(CHANNELS))(
  'whatever comes as a message of a %s, the check by hand decides as the schemas do',
  (channel, { kind, schema, data }) => {
    const verdicts = { sound: 0, unsound: 0 };
    const envelope = fields(
      {
        stream: mostly(fc.constant(`${channel}:alpha:BTC/USDT`)),
        epoch: mostly(fc.constant('e')),
        seq: whole,
        kind: mostly(fc.constant(kind)),
        ingestTs: whole,
        data: mostly(data),
      },
      { exchangeTs: whole, exchangeSeq: whole },
    );
    fc.assert(
      fc.property(mostly(envelope), (made) => {
        const value: unknown = JSON.parse(JSON.stringify(made));
        const parsed = StreamMessageSchema.safeParse(value);
        const ofChannel = parsed.success && parsed.data.stream.startsWith(`${channel}:`) && parsed.data.kind === kind;
        if (parsed.success && !ofChannel) return;
        const expected = ofChannel && schema.safeParse(parsed.data.data).success;
        verdicts[expected ? 'sound' : 'unsound'] += 1;
        expect(isSoundMessage(value), JSON.stringify(value)).toBe(expected);
      }),
      { numRuns: 3_000 },
    );
    expect(verdicts.sound).toBeGreaterThan(300);
    expect(verdicts.unsound).toBeGreaterThan(300);
  },
);
