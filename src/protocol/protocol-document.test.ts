import { createHash, createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { crc32 } from '../kernel/crc32.ts';
import { BookState } from './book.ts';
import { CLOSE_CODES, mayReconnect } from './close-codes.ts';
import { ERRORS } from './errors.ts';
import { BATCH_LIMITS, CONNECTION_LIMITS, RETENTION_LIMITS, SNAPSHOT_LIMITS } from './limits.ts';
import type { BookDelta, BookSnapshot, Envelope, SystemEvents } from './messages.ts';
import {
  AuthenticatedSchema,
  BookDeltaData,
  BookSnapshotData,
  EnvelopeSchema,
  RequestSchema,
  STREAM_STATUSES,
  SubscribeFailedSchema,
  SubscribedSchema,
  TradesData,
  WireErrorSchema,
} from './messages.ts';
import { CONNECTION_METHODS, METHODS, TRADING_METHODS, TRADING_RESULTS } from './methods.ts';
import { signingText } from './signing.ts';
import { PRIVATE_STREAMS, PrivateUpdateData, VALUATION_STREAM } from './trading.ts';
import { BOOK_DEPTHS, BOOK_RATES_MS, PUBLIC_CHANNELS, STREAM_NAME_LIMIT_CHARS, TIMEFRAMES_MS } from './streams.ts';

// Whoever writes a client from the document alone must not be told something else than the code does.
const document = readFileSync(new URL('./PROTOCOL.md', import.meta.url), 'utf8');

function section(title: string): string {
  const start = document.indexOf(`\n## ${title}\n`);
  expect(start, `a section ${title}`).toBeGreaterThan(0);
  const end = document.indexOf('\n## ', start + 1);
  return document.slice(start, end === -1 ? undefined : end);
}

/** The rows of the table whose header begins with `firstHeader`, cells without backticks. */
function table(text: string, firstHeader: string): string[][] {
  const lines = text.split('\n');
  const start = lines.findIndex((line) => line.startsWith(`| ${firstHeader} |`));
  expect(start, `a table ${firstHeader}`).toBeGreaterThan(-1);
  const rows: string[][] = [];
  for (const line of lines.slice(start + 2)) {
    if (!line.startsWith('|')) break;
    rows.push(
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim().replaceAll('`', '')),
    );
  }
  return rows;
}

test('the error table is the code table', () => {
  const expected = Object.entries(ERRORS).map(([code, { status, temporary, title }]) => [
    code,
    String(status),
    temporary ? 'yes' : 'no',
    title,
  ]);
  expect(table(section('14. Errors'), 'code')).toEqual(expected);
});

test('the close codes are the close codes', () => {
  const expected = Object.values(CLOSE_CODES).map(({ code, reason }) => [
    String(code),
    reason,
    mayReconnect(code) ? 'yes' : 'no',
  ]);
  expect(table(section('15. Close codes'), 'code')).toEqual(expected);
});

test('the limits are the limits', () => {
  const limits = section('13. Limits');
  const pairs = (rows: string[][]): Record<string, number> =>
    Object.fromEntries(rows.map(([name, value]) => [name!, Number(value)]));
  expect(pairs(table(limits, 'limit'))).toEqual(CONNECTION_LIMITS);
  expect(pairs(table(limits, 'kept of each stream for `since`'))).toEqual(RETENTION_LIMITS);
  expect(pairs(table(limits, 'items in a snapshot'))).toEqual(SNAPSHOT_LIMITS);
  const { windowMs, envelopes, bytes } = BATCH_LIMITS;
  const batches = section('5. Methods');
  expect(batches).toContain(`(0 to ${windowMs}; \`true\` is ${windowMs})`);
  expect(batches).toContain(`at most ${envelopes} envelopes, and ends at ${bytes / 1_024} KiB`);
});

test('the streams, their options and their names are those of the parser', () => {
  const rows = table(section('8. Streams'), 'stream');
  expect(rows.map(([name]) => name!.split(':')[0])).toEqual([...PUBLIC_CHANNELS]);
  const options = Object.fromEntries(rows.map(([name, option]) => [name!.split(':')[0], option]));
  for (const depth of BOOK_DEPTHS) expect(options.book).toContain(String(depth));
  for (const rate of Object.keys(BOOK_RATES_MS)) expect(options.book).toContain(rate);
  for (const timeframe of Object.keys(TIMEFRAMES_MS)) expect(options.candles).toContain(timeframe);
  expect(section('8. Streams')).toContain(`at most ${STREAM_NAME_LIMIT_CHARS} characters`);
});

test('every method, event and status has its place', () => {
  for (const method of Object.keys(CONNECTION_METHODS)) expect(section('5. Methods')).toContain(`### ${method}\n`);
  expect(section('5. Methods')).toContain(`### ${Object.keys(TRADING_METHODS).join(', ')}\n`);
  expect(table(section('19. Orders and money'), 'method').map(([name]) => name)).toEqual(Object.keys(TRADING_METHODS));
  expect(table(section('18. Private streams'), 'stream').map(([name]) => name)).toEqual([
    ...PRIVATE_STREAMS,
    VALUATION_STREAM,
  ]);
  const events: Record<keyof SystemEvents, true> = {
    welcome: true,
    heartbeat: true,
    draining: true,
    slow: true,
    closing: true,
  };
  const listed = table(section('10. Connection events'), 'event').map(([name]) => name);
  expect(new Set(listed)).toEqual(new Set([...Object.keys(events), 'error']));
  expect(table(section('7. Rules for a stream'), '`status`').map(([name]) => name)).toEqual([...STREAM_STATUSES]);
  const fields = table(section('6. Envelope'), 'field').flatMap(([name]) => name!.split(', '));
  expect(new Set(fields)).toEqual(new Set(Object.keys(EnvelopeSchema.shape)));
});

test('the worked example of the checksum works', () => {
  const books = section('9. Order books');
  const [snapshot, delta] = [...books.matchAll(/```json\n(.*?)\n```/gs)].map((match) => JSON.parse(match[1]!));
  const texts = [...books.matchAll(/`(\d+\.\d+:[\d.:]+)`/g)].map((match) => match[1]!);
  const book = new BookState();
  book.reset(BookSnapshotData.parse(snapshot));
  expect([crc32(texts[0]!), book.checksum()]).toEqual([snapshot.checksum, snapshot.checksum]);
  book.apply(BookDeltaData.parse(delta));
  expect([crc32(texts[1]!), book.checksum()]).toEqual([delta.checksum, delta.checksum]);
  for (const number of [snapshot.checksum, delta.checksum]) expect(books).toContain(`CRC-32 is ${number}`);
});

test('the worked example of a signature is what the server computes', () => {
  const text = section('17. Authentication');
  const lines = /```text\n(.*?)\n```/s.exec(text)![1]!.split('\n');
  const [, keyId, timestamp, recvWindow, nonce, method, pathname, query, bodyHash] = lines as [string, ...string[]];
  const [, request, body] = /of `POST (\S+)` with the body `([^`]+)`/.exec(text)!;
  const [, secret] = /with the secret `([^`]+)`/.exec(text)!;
  const [, signature] = /has the\s+signature\s+`([^`]+)`/.exec(text)!;
  expect([method, request]).toEqual(['POST', `${pathname}?${query}`]);
  expect(createHash('sha256').update(body!).digest('hex')).toBe(bodyHash);
  const fields = { keyId: keyId!, nonce: nonce!, method: method!, path: request!, bodyHash: bodyHash! };
  const signed = signingText({ ...fields, timestampMs: Number(timestamp), recvWindowMs: Number(recvWindow) });
  expect(signed).toBe(lines.join('\n'));
  expect(createHmac('sha256', secret!).update(signed).digest('base64url')).toBe(signature);
});

type Line = { from: 'client' | 'server'; text: string };
function sessions(): Line[][] {
  const blocks = [...section('16. Sample sessions').matchAll(/```text\n(.*?)\n```/gs)];
  return blocks.map((block) =>
    block[1]!.split('\n').map((line) => ({ from: line.startsWith('> ') ? 'client' : 'server', text: line.slice(2) })),
  );
}

function checkRequest(request: unknown): void {
  const { method, params } = RequestSchema.parse(request);
  METHODS[method as keyof typeof METHODS].parse(params);
}

function checkResult(result: unknown): void {
  for (const each of result as { left?: boolean }[]) {
    if (each.left === undefined) SubscribedSchema.or(SubscribeFailedSchema).parse(each);
  }
}

function checkEnvelope(value: unknown, book: BookState): void {
  const envelope: Envelope = EnvelopeSchema.parse(value);
  if (envelope.stream.startsWith('trades:')) TradesData.parse(envelope.data);
  if (!envelope.stream.startsWith('book:') || envelope.kind === 'state') return;
  if (envelope.kind === 'snapshot') book.reset(BookSnapshotData.parse(envelope.data) as BookSnapshot);
  else book.apply(BookDeltaData.parse(envelope.data) as BookDelta);
  expect(book.checksum()).toBe((envelope.data as BookSnapshot).checksum);
}

test('every frame of the sample sessions is a true one', () => {
  const [plain, returning, socketio] = sessions();
  const book = new BookState();
  for (const { from, text } of [...plain!, ...returning!]) {
    const value = JSON.parse(text);
    if (from === 'client') checkRequest(value);
    else if ('stream' in value) checkEnvelope(value, book);
    else if ('result' in value) checkResult(value.result);
    else expect(value).toMatchObject({ event: expect.any(String), data: expect.any(Object) });
  }
  for (const { from, text } of socketio!) {
    const [, type, id, body] = /^(\d\d?)(\d*)(.*)$/.exec(text)!;
    if (type === '42' && from === 'client') {
      const [method, params] = JSON.parse(body!);
      if (id !== '') checkRequest({ id: Number(id), method, params });
    } else if (type === '42') {
      const [name, data] = JSON.parse(body!);
      if (name === 'message') checkEnvelope(data, book);
      if (name === 'error') WireErrorSchema.parse(data);
    } else if (type === '43') checkResult(JSON.parse(body!)[0].result);
  }
});

test('every frame of the private session is a true one', () => {
  const [block] = [...section('18. Private streams').matchAll(/```text\n(.*?)\n```/gs)];
  const asked = new Map<number, string>();
  for (const line of block![1]!.split('\n')) {
    const value = JSON.parse(line.slice(2));
    if (line.startsWith('> ')) {
      checkRequest(value);
      asked.set(value.id, value.method);
    } else if ('stream' in value) PrivateUpdateData.parse(EnvelopeSchema.parse(value).data);
    else checkPrivateResult(asked.get(value.id)!, value.result);
  }
  expect(asked.size).toBe(4);
});

function checkPrivateResult(method: string, result: unknown): void {
  if (method === 'subscribe') checkResult(result);
  else if (method === 'authenticate') AuthenticatedSchema.parse(result);
  else TRADING_RESULTS[method as keyof typeof TRADING_RESULTS].parse(result);
}
