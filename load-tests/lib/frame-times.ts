/** What a latency measurement needs of a push, read from its bytes: parsing a thousand copies would cost more than sending them. */
export type FrameTimes = Readonly<{ channel: string; ingestTs: number; sentTs: number }>;

const STREAM = Buffer.from('{"stream":"');
const SNAPSHOT = Buffer.from('"kind":"snapshot"');
const STATE = Buffer.from('"kind":"state"');
const INGEST = Buffer.from('"ingestTs":');
const SENT = Buffer.from('"sentTs":');
/** `kind` and `ingestTs` stand before `data`, within a stream name (255 characters at most) and a few numbers. */
const HEAD_BYTES = 640;
const COLON = 0x3a;

/** Undefined for replies and events, and for snapshots and states: their ingest time is that of an older change. */
export function readFrameTimes(frame: Buffer, start: number, end: number): FrameTimes | undefined {
  if (frame.compare(STREAM, 0, STREAM.length, start, Math.min(end, start + STREAM.length)) !== 0) return undefined;
  const head = frame.subarray(start, Math.min(end, start + HEAD_BYTES));
  if (head.includes(SNAPSHOT) || head.includes(STATE)) return undefined;
  const ingestAt = head.indexOf(INGEST);
  const sentAt = frame.subarray(start, end).lastIndexOf(SENT);
  if (ingestAt === -1 || sentAt === -1) return undefined;
  const channelEnd = head.indexOf(COLON, STREAM.length);
  return {
    channel: head.toString('latin1', STREAM.length, channelEnd),
    ingestTs: readDigits(frame, start + ingestAt + INGEST.length, end),
    sentTs: readDigits(frame, start + sentAt + SENT.length, end),
  };
}

function readDigits(frame: Buffer, from: number, end: number): number {
  let value = 0;
  for (let at = from; at < end; at++) {
    const digit = frame[at]! - 48;
    if (digit < 0 || digit > 9) break;
    value = value * 10 + digit;
  }
  return value;
}
