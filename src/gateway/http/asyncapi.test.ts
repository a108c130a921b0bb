import { Parser } from '@asyncapi/parser';
import { describe, expect, it } from 'vitest';
import { createAsyncapiDocument } from './asyncapi.ts';

const document = createAsyncapiDocument('0.0.0');

describe('the AsyncAPI document', () => {
  it('is one that AsyncAPI tools accept', { timeout: 60_000 }, async () => {
    const { diagnostics, document: parsed } = await new Parser().parse(JSON.stringify(document));
    expect(
      diagnostics.filter((each) => each.severity <= 1).map((each) => `${each.path.join('.')}: ${each.message}`),
    ).toEqual([]);
    expect(parsed?.messages().length).toBeGreaterThan(20);
  });
});
