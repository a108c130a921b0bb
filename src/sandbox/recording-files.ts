import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { createGunzip } from 'node:zlib';

/** One line of a recording: `../shared/captures/README.md` of the development data describes the format. */
export type RecordedLine = Readonly<{ type: string; tsUs: number; url: string; raw: string }>;

/** Read-ahead per file. Large enough that reading is cheap, small enough that many files do not add up. */
const CHUNK_BYTES = 256 * 1024;
/** A line longer than this is not a frame of any exchange; a file holding one is refused instead of filling the memory. */
const LINE_LIMIT_CHARS = 64 * 1024 * 1024;

/** Files of recorded lines directly in a folder, in name order. */
export async function recordingFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && /\.jsonl(\.gz)?$/.test(entry.name))
    .map((entry) => join(folder, entry.name))
    .toSorted();
}

/** Lines of one file in batches of about one chunk, so that reading needs one await per batch and not per line. */
export async function* lineBatches(path: string): AsyncGenerator<string[]> {
  const file = createReadStream(path, { highWaterMark: CHUNK_BYTES });
  const bytes = path.endsWith('.gz') ? file.pipe(createGunzip({ chunkSize: CHUNK_BYTES })) : file;
  if (bytes !== file) file.once('error', (error) => bytes.destroy(error));
  const decoder = new StringDecoder('utf8');
  let rest = '';
  try {
    for await (const chunk of bytes) {
      const lines = (rest + decoder.write(chunk as Buffer)).split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > LINE_LIMIT_CHARS) throw new Error(`${path}: a line longer than ${LINE_LIMIT_CHARS} characters`);
      if (lines.length > 0) yield lines;
    }
    // A recorder that was killed leaves half a line; whole lines end with a newline except perhaps the last one.
    if (rest !== '') yield [rest];
  } finally {
    file.destroy();
    bytes.destroy();
  }
}

/** Undefined for a line that is not JSON (a killed recorder's last one) or that has no time and so no place on a tape. */
export function parseLine(line: string): RecordedLine | undefined {
  if (line === '') return undefined;
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { t: type, ts_us: tsUs, url, raw } = value as Record<string, unknown>;
  if (typeof type !== 'string' || typeof tsUs !== 'number' || !Number.isFinite(tsUs)) return undefined;
  return { type, tsUs, url: typeof url === 'string' ? url : '', raw: typeof raw === 'string' ? raw : '' };
}

/** One file's lines behind a cursor, for merging. */
class LineCursor {
  readonly #batches: AsyncGenerator<string[]>;
  #batch: string[] = [];
  #at = 0;
  head: RecordedLine | undefined;

  constructor(path: string) {
    this.#batches = lineBatches(path);
  }

  /** True when `head` is the next line; false when the batch is spent and `refill` must be awaited. */
  advance(): boolean {
    while (this.#at < this.#batch.length) {
      this.head = parseLine(this.#batch[this.#at]!);
      this.#at += 1;
      if (this.head !== undefined) return true;
    }
    this.head = undefined;
    return false;
  }

  /** False at the end of the file. */
  async refill(): Promise<boolean> {
    for (;;) {
      const next = await this.#batches.next();
      if (next.done === true) return false;
      this.#batch = next.value;
      this.#at = 0;
      if (this.advance()) return true;
    }
  }

  async close(): Promise<void> {
    await this.#batches.return(undefined);
  }
}

/** Lines of several files merged by time, in batches; holds one chunk per file. */
export async function* mergedLines(paths: readonly string[]): AsyncGenerator<RecordedLine[]> {
  const cursors = paths.map((path) => new LineCursor(path));
  try {
    const open: LineCursor[] = [];
    for (const cursor of cursors) if (await cursor.refill()) open.push(cursor);
    while (open.length > 0) {
      const batch: RecordedLine[] = [];
      const spent = takeSorted(open, batch);
      if (batch.length > 0) yield batch;
      if (!(await spent.refill())) open.splice(open.indexOf(spent), 1);
    }
  } finally {
    for (const cursor of cursors) await cursor.close();
  }
}

/** Moves lines in time order into `batch` until one file's chunk is spent; answers that file. Ties keep the files' order. */
function takeSorted(open: readonly LineCursor[], batch: RecordedLine[]): LineCursor {
  for (;;) {
    let first = open[0]!;
    for (const cursor of open) if (cursor.head!.tsUs < first.head!.tsUs) first = cursor;
    batch.push(first.head!);
    if (!first.advance()) return first;
  }
}
