import { createWriteStream, type WriteStream } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { createGzip, type Gzip } from 'node:zlib';

/** Text in one file; recorded JSON shrinks to about a tenth. */
const FILE_LIMIT_BYTES = 512 * 1024 * 1024;
/** Text in all files of one recording: about a day of four busy markets. */
const RECORDING_LIMIT_BYTES = 64 * 1024 * 1024 * 1024;
/** Text that waits for the disk. More means a disk slower than the exchange, and then the recording must end: holes would replay as a market that never was. */
const WAITING_LIMIT_BYTES = 64 * 1024 * 1024;

/**
 * One fact of the traffic: `open` a connection was made, `send` and `recv` a frame, `http` a response body. `tsUs` is the
 * recorder's time in microseconds since 1970, `raw` the exact text, `conn` the recorder's name for the connection.
 */
export type TrafficLine = Readonly<{
  t: 'open' | 'send' | 'recv' | 'http';
  tsUs: number;
  conn: string;
  url?: string;
  raw?: string;
}>;

export type RecordingLimits = Readonly<{ fileBytes: number; recordingBytes: number; waitingBytes: number }>;
export type RecordingWriterOptions = Readonly<{
  /** Made when absent; must not hold a recording yet. */
  dir: string;
  /** Called once when the recording ends before `close`, with the reason. */
  onEnd: (error: Error) => void;
  limits?: Partial<RecordingLimits>;
}>;

/** Parameters whose values let somebody in. The format has one word for all of them. */
const SECRET_PARAMETER =
  /([?&;](?:token|access_token|api_?key|key|secret|signature|sign|listenkey|passphrase|password)=)[^&#;]*/gi;

/** A URL as it may be stored: `?token=abc` becomes `?token=TOKEN`; credentials before the host go too. */
export function redactUrl(url: string): string {
  return url.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/?#@]*@/i, '$1').replace(SECRET_PARAMETER, '$1TOKEN');
}

/** Opens a folder for one recording of one exchange. Throws when it holds one already: two in one folder would be merged by time. */
export async function openRecordingWriter(options: RecordingWriterOptions): Promise<RecordingWriter> {
  await mkdir(options.dir, { recursive: true });
  const present = (await readdir(options.dir)).filter((name) => /\.jsonl(\.gz)?$/.test(name));
  if (present.length > 0) throw new Error(`${options.dir} holds a recording already; choose another folder`);
  return new RecordingWriter(options);
}

/** Writes traffic as gzipped lines of JSON, in time order, in files of bounded size. */
export class RecordingWriter {
  readonly #dir: string;
  readonly #onEnd: (error: Error) => void;
  readonly #limits: RecordingLimits;
  #file: { gzip: Gzip; sink: WriteStream; bytes: number } | null = null;
  #files = 0;
  #bytes = 0;
  #lastUs = 0;
  #ended = false;
  readonly #closing: Promise<void>[] = [];
  /** Lines taken, by kind. */
  readonly counts = { open: 0, send: 0, recv: 0, http: 0 };

  constructor(options: RecordingWriterOptions) {
    this.#dir = options.dir;
    this.#onEnd = options.onEnd;
    this.#limits = {
      fileBytes: FILE_LIMIT_BYTES,
      recordingBytes: RECORDING_LIMIT_BYTES,
      waitingBytes: WAITING_LIMIT_BYTES,
      ...options.limits,
    };
  }

  /** Never waits. After the end, lines are ignored. */
  write(line: TrafficLine): void {
    if (this.#ended) return;
    // Lines are sorted by time in this format, whatever a clock does.
    this.#lastUs = Math.max(this.#lastUs, Math.floor(line.tsUs));
    const { t, conn, url, raw } = line;
    const text = `${JSON.stringify({
      t,
      ts_us: this.#lastUs,
      conn,
      ...(url === undefined ? {} : { url: redactUrl(url) }),
      ...(raw === undefined ? {} : { raw }),
    })}\n`;
    const bytes = Buffer.byteLength(text);
    if (this.#bytes + bytes > this.#limits.recordingBytes) {
      this.#end(new Error(`the recording has reached ${this.#limits.recordingBytes} bytes`));
      return;
    }
    if (this.#file !== null && this.#file.bytes + bytes > this.#limits.fileBytes) this.#finishFile();
    this.#file ??= this.#openFile();
    this.counts[t] += 1;
    this.#bytes += bytes;
    this.#file.bytes += bytes;
    this.#file.gzip.write(text);
    if (this.#file.gzip.writableLength > this.#limits.waitingBytes) {
      this.#end(new Error(`the disk is too slow: ${this.#file.gzip.writableLength} bytes wait to be written`));
    }
  }

  /** Everything written is on its way to the disk and complete when this resolves. Rejects when a file could not be finished. */
  async close(): Promise<void> {
    this.#ended = true;
    this.#finishFile();
    await Promise.all(this.#closing);
  }

  #end(error: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#onEnd(error);
  }

  #openFile(): { gzip: Gzip; sink: WriteStream; bytes: number } {
    this.#files += 1;
    const name = `session-${String(this.#files).padStart(4, '0')}.jsonl.gz`;
    const gzip = createGzip();
    // `wx`: a file that appeared meanwhile is somebody else's.
    const sink = createWriteStream(join(this.#dir, name), { flags: 'wx' });
    sink.on('error', (error) => {
      gzip.destroy();
      this.#end(error);
    });
    gzip.pipe(sink);
    return { gzip, sink, bytes: 0 };
  }

  #finishFile(): void {
    if (this.#file === null) return;
    const { gzip, sink } = this.#file;
    this.#file = null;
    const closed = finished(sink);
    // Awaited in `close`; until then a failure is told by `onEnd`.
    closed.catch(() => {});
    this.#closing.push(closed);
    gzip.end();
  }
}
