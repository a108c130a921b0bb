import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openRecordingWriter, redactUrl } from './recording-writer.ts';

let dir = '';
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'recording-'));
});
afterEach(async () => {
  await rm(dir, { recursive: true });
});

const unexpected = (error: Error): never => {
  throw error;
};

async function textOf(folder: string): Promise<Record<string, string>> {
  const names = (await readdir(folder)).toSorted();
  return Object.fromEntries(
    await Promise.all(
      names.map(async (name) => [name, gunzipSync(await readFile(join(folder, name))).toString()] as const),
    ),
  );
}

describe('recording writer', () => {
  it('writes exactly the format that a replay reads', async () => {
    const folder = join(dir, 'made', 'kucoin');
    const writer = await openRecordingWriter({ dir: folder, onEnd: unexpected });
    const url = 'wss://push.example/endpoint?token=s3cret&connectId=7';
    writer.write({
      t: 'http',
      tsUs: 1_000_000.9,
      conn: 'KUCOIN.http',
      url: 'https://api.example/symbols?key=1',
      raw: '{"a": "é\\n"}',
    });
    writer.write({ t: 'open', tsUs: 1_000_100, conn: 'KUCOIN.ws.1', url });
    writer.write({ t: 'send', tsUs: 1_000_200, conn: 'KUCOIN.ws.1', raw: '{"id":1}' });
    writer.write({
      t: 'recv',
      tsUs: 1_000_300,
      conn: 'KUCOIN.ws.1',
      raw: ' {"price":0.10,\t"id":12345678901234567890}',
    });
    await writer.close();
    expect(await textOf(folder)).toEqual({
      'session-0001.jsonl.gz':
        '{"t":"http","ts_us":1000000,"conn":"KUCOIN.http","url":"https://api.example/symbols?key=TOKEN","raw":"{\\"a\\": \\"é\\\\n\\"}"}\n' +
        '{"t":"open","ts_us":1000100,"conn":"KUCOIN.ws.1","url":"wss://push.example/endpoint?token=TOKEN&connectId=7"}\n' +
        '{"t":"send","ts_us":1000200,"conn":"KUCOIN.ws.1","raw":"{\\"id\\":1}"}\n' +
        '{"t":"recv","ts_us":1000300,"conn":"KUCOIN.ws.1","raw":" {\\"price\\":0.10,\\t\\"id\\":12345678901234567890}"}\n',
    });
    expect(writer.counts).toEqual({ open: 1, send: 1, recv: 1, http: 1 });
  });

  it('keeps lines in time order when the clock is set back', async () => {
    const writer = await openRecordingWriter({ dir, onEnd: unexpected });
    for (const tsUs of [5, 9, 3, 10]) writer.write({ t: 'recv', tsUs, conn: 'a', raw: '' });
    await writer.close();
    const lines = Object.values(await textOf(dir))
      .join('')
      .trim()
      .split('\n');
    expect(lines.map((line) => JSON.parse(line).ts_us)).toEqual([5, 9, 9, 10]);
  });

  it('starts a new file before one grows too large, and loses no line', async () => {
    const writer = await openRecordingWriter({ dir, onEnd: unexpected, limits: { fileBytes: 1000 } });
    for (let index = 0; index < 100; index++)
      writer.write({ t: 'recv', tsUs: index, conn: 'a', raw: `{"n":${index}}` });
    await writer.close();
    const files = await textOf(dir);
    expect(Object.keys(files).length).toBeGreaterThan(4);
    for (const text of Object.values(files)) expect(text.length).toBeLessThanOrEqual(1000);
    const lines = Object.values(files).join('').trim().split('\n');
    expect(lines.map((line) => JSON.parse(JSON.parse(line).raw).n)).toEqual(
      Array.from({ length: 100 }, (_, index) => index),
    );
  });

  it('ends, saying so once, instead of filling the disk', async () => {
    const ends: string[] = [];
    const onEnd = (error: Error): void => void ends.push(error.message);
    const writer = await openRecordingWriter({ dir, onEnd, limits: { recordingBytes: 500 } });
    for (let index = 0; index < 100; index++) writer.write({ t: 'recv', tsUs: index, conn: 'a', raw: '{}' });
    await writer.close();
    expect(ends).toEqual(['the recording has reached 500 bytes']);
    expect(Object.values(await textOf(dir)).join('').length).toBeLessThanOrEqual(500);
  });

  it('ends instead of filling the memory when the disk is slower than the exchange', async () => {
    const ends: string[] = [];
    const onEnd = (error: Error): void => void ends.push(error.message);
    const writer = await openRecordingWriter({ dir, onEnd, limits: { waitingBytes: 100_000 } });
    // All in one turn of the event loop: nothing can be written in between.
    for (let index = 0; index < 100; index++)
      writer.write({ t: 'recv', tsUs: index, conn: 'a', raw: 'x'.repeat(10_000) });
    await writer.close();
    expect(ends).toHaveLength(1);
    expect(ends[0]).toMatch(/^the disk is too slow/);
    // What was taken before the end is whole.
    const lines = Object.values(await textOf(dir))
      .join('')
      .trim()
      .split('\n');
    expect(lines).toHaveLength(writer.counts.recv);
  });

  it('tells when the disk refuses, and does not pretend that the recording is complete', async () => {
    const ends: string[] = [];
    const onEnd = (error: Error): void => void ends.push((error as NodeJS.ErrnoException).code ?? '');
    const writer = await openRecordingWriter({ dir, onEnd });
    await writeFile(join(dir, 'session-0001.jsonl.gz'), 'in the way');
    writer.write({ t: 'recv', tsUs: 1, conn: 'a', raw: '{}' });
    await expect(writer.close()).rejects.toMatchObject({ code: 'EEXIST' });
    expect(await readFile(join(dir, 'session-0001.jsonl.gz'), 'utf8')).toBe('in the way');
  });

  it('refuses a folder that holds a recording: two would be merged into a market that never was', async () => {
    const first = await openRecordingWriter({ dir, onEnd: unexpected });
    first.write({ t: 'recv', tsUs: 1, conn: 'a', raw: '{}' });
    await first.close();
    await expect(openRecordingWriter({ dir, onEnd: unexpected })).rejects.toThrow('holds a recording already');
  });

  it.each([
    ['wss://ws.example/?token=abc&x=1', 'wss://ws.example/?token=TOKEN&x=1'],
    [
      'https://api.example/v1/depth?symbol=BTCUSDT&limit=5000',
      'https://api.example/v1/depth?symbol=BTCUSDT&limit=5000',
    ],
    ['https://api.example/?apiKey=abc&signature=def', 'https://api.example/?apiKey=TOKEN&signature=TOKEN'],
    ['https://api.example/?api_key=abc#part', 'https://api.example/?api_key=TOKEN#part'],
    ['https://user:word@api.example/path', 'https://api.example/path'],
    ['wss://ws.example/?listenKey=abc', 'wss://ws.example/?listenKey=TOKEN'],
  ])('never stores a secret of %s', (url, stored) => {
    expect(redactUrl(url)).toBe(stored);
  });
});
