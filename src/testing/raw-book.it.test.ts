import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { crc32 } from '../kernel/crc32.ts';
import { CAPTURES_DIR, CAPTURES_PRESENT, sayWhatIsSkipped } from './captures.ts';
import { reconstruct } from './raw-book.ts';
import type { RawLevel } from './raw-book.ts';

sayWhatIsSkipped('the yardstick for books');

/** The yardstick is only worth something if the exchanges' own checksums agree with it at every single update. */
describe.skipIf(!CAPTURES_PRESENT)('books rebuilt from recordings', () => {
  it('agree with the checksum of every Kraken frame', () => {
    const digits = (levels: RawLevel[]): string =>
      levels.flatMap((level) => level.map((text) => text.replace('.', '').replace(/^0+/, ''))).join('');
    let checked = 0;
    for (const step of reconstruct(join(CAPTURES_DIR, 'kraken/v2-transcoded-2021-04-05'))) {
      const { bids, asks } = step.top(10);
      expect(crc32(digits(asks) + digits(bids)), `${step.market} ${step.id}`).toBe(step.checksum);
      checked += 1;
    }
    expect(checked).toBe(14_506);
  });

  it('agree with the checksum of every OKX frame', () => {
    let checked = 0;
    for (const step of reconstruct(join(CAPTURES_DIR, 'okx/2022-05-13'))) {
      const { bids, asks } = step.top(25);
      const parts = Array.from({ length: 25 }, (_, index) =>
        [bids[index], asks[index]].flatMap((level) => level ?? []),
      );
      expect(crc32(parts.flat().join(':')) | 0, `${step.market} ${step.id}`).toBe(step.checksum);
      checked += 1;
    }
    expect(checked).toBe(290);
  });
});
