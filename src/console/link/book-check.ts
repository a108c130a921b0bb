import type { Book, StreamPosition } from '../../client/index.ts';

/** About ten seconds of the fastest tier. */
const REMEMBERED_LIMIT = 128;
/** How long our own stream may take to reach the place that REST told of. */
const PATIENCE_MS = 3_000;

export type BookReading = Readonly<{ epoch: string; seq: number; data: Readonly<{ checksum: number }> }>;
export type BookVerdict = Readonly<{ outcome: 'agrees' | 'differs' | 'unknown'; text: string }>;

/** Remembers what the page's own book was at each place of its stream, to hold it against what the server says elsewhere. */
export interface BookCheck {
  remember(book: Book): void;
  /** Compares with an answer of REST, at exactly the same place of the stream. */
  compare(reading: BookReading): Promise<BookVerdict>;
}

export function createBookCheck(): BookCheck {
  const checksums = new Map<string, number>();
  let waiting: { place: string; tell: () => void } | undefined;
  return {
    remember(book) {
      const place = placeOf(book);
      checksums.set(place, book.checksum);
      if (checksums.size > REMEMBERED_LIMIT) checksums.delete(checksums.keys().next().value!);
      if (waiting?.place === place) waiting.tell();
    },
    async compare(reading) {
      const place = placeOf(reading);
      if (!checksums.has(place)) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, PATIENCE_MS);
          waiting = {
            place,
            tell() {
              clearTimeout(timer);
              resolve();
            },
          };
        });
        waiting = undefined;
      }
      return verdictOf(reading, checksums.get(place));
    },
  };
}

function placeOf({ epoch, seq }: StreamPosition): string {
  return `${epoch}#${seq}`;
}

function verdictOf({ seq, data }: BookReading, ours: number | undefined): BookVerdict {
  const theirs = data.checksum.toString(16).padStart(8, '0');
  if (ours === undefined) return { outcome: 'unknown', text: `this page was never at #${seq}; try again` };
  if (ours === data.checksum) return { outcome: 'agrees', text: `same book at #${seq}: CRC ${theirs}` };
  return {
    outcome: 'differs',
    text: `at #${seq} REST has CRC ${theirs}, this page ${ours.toString(16).padStart(8, '0')}`,
  };
}
