import { and, asc, desc, eq, gt, inArray, sql } from 'drizzle-orm';
import { assert } from '../../kernel/assert.ts';
import type { Database, Queries } from '../../platform/postgres.ts';
import { PRIVATE_STREAMS } from '../../protocol/trading.ts';
import type { PrivateStream } from '../../protocol/trading.ts';
import type { LoggedEvent } from './events.ts';
import { eventEpochs, eventHeads, userEvents } from './tables.ts';

export type EventPage = Readonly<{
  events: readonly LoggedEvent[];
  /** The last number, at least; 0 while there are no events. */
  headSeq: number;
}>;
/** The last number of a user's whole log and of each stream; 0 before the first. */
export type LogHeads = Readonly<{ seq: number } & Record<PrivateStream, number>>;
/** Somebody who has heard everything up to `seq`. */
export type LogReader = Readonly<{ userId: string; seq: number }>;

export const EVENTS_LIMIT = 1_000;
export const READERS_LIMIT = 10_000;

/** Events after `since`, in order and without a gap; fewer than `limit` means that these were all. */
export function readEventsSince(
  database: Database,
  page: Readonly<{ userId: string; since: number; limit: number }>,
): Promise<EventPage> {
  assertLimit(page.limit);
  return database.read('ledger.events_since', async (queries) => {
    // The head first: events that come between the two statements are then in the page, never beyond it unseen.
    const head = await readLogHeads(queries, page.userId);
    const events = await queries
      .select(EVENT)
      .from(userEvents)
      .where(and(eq(userEvents.userId, page.userId), gt(userEvents.seq, page.since)))
      .orderBy(asc(userEvents.seq))
      .limit(page.limit);
    const logged = events.map(loggedEvent);
    return { events: logged, headSeq: Math.max(head.seq, logged.at(-1)?.seq ?? 0) };
  });
}

/** The same for one stream, by its own numbers. */
export function readStreamSince(
  database: Database,
  page: Readonly<{ userId: string; stream: PrivateStream; since: number; limit: number }>,
): Promise<EventPage> {
  assertLimit(page.limit);
  return database.read('ledger.stream_since', async (queries) => {
    const head = await readLogHeads(queries, page.userId);
    const events = await queries
      .select(EVENT)
      .from(userEvents)
      .where(
        and(
          eq(userEvents.userId, page.userId),
          eq(userEvents.stream, page.stream),
          gt(userEvents.streamSeq, page.since),
        ),
      )
      .orderBy(asc(userEvents.streamSeq))
      .limit(page.limit);
    const logged = events.map(loggedEvent);
    return { events: logged, headSeq: Math.max(head[page.stream], logged.at(-1)?.streamSeq ?? 0) };
  });
}

/**
 * What is new for many readers at once: for each its next events in order and without a gap, at most `perReader`; at most
 * `EVENTS_LIMIT` over all, so that the last readers may get fewer or none and ask again.
 */
export function readNews(
  database: Database,
  readers: readonly LogReader[],
  perReader: number,
): Promise<readonly LoggedEvent[]> {
  assertLimit(perReader);
  assert(readers.length <= READERS_LIMIT, `ledger: at most ${READERS_LIMIT} readers at once`);
  if (readers.length === 0) return Promise.resolve([]);
  const users = arrayText(readers.map(({ userId }) => userId));
  const seqs = arrayText(readers.map(({ seq }) => seq));
  return database.read('ledger.news', async (queries) => {
    const rows = await queries.execute<NewsRow>(sql`select event.user_id, event.seq, event.stream, event.stream_seq,
        event.type, event.payload, floor(extract(epoch from event.created_at) * 1000) as at_ms
      from unnest(${users}::uuid[], ${seqs}::bigint[]) with ordinality as reader (user_id, seq, place)
      cross join lateral (select * from ledger.user_events as own
        where own.user_id = reader.user_id and own.seq > reader.seq order by own.seq limit ${perReader}) as event
      order by reader.place, event.seq limit ${EVENTS_LIMIT}`);
    return rows.map((row) => ({
      userId: row.user_id,
      seq: Number(row.seq),
      stream: row.stream,
      streamSeq: Number(row.stream_seq),
      type: row.type,
      payload: typeof row.payload === 'string' ? (JSON.parse(row.payload) as LoggedEvent['payload']) : row.payload,
      atMs: Number(row.at_ms),
    }));
  });
}

type NewsRow = Readonly<{
  user_id: string;
  seq: string;
  stream: PrivateStream;
  stream_seq: string;
  type: string;
  payload: string | LoggedEvent['payload'];
  at_ms: string;
}>;

/** UUIDs and numbers only: nothing in them needs quoting. */
function arrayText(items: readonly (string | number)[]): string {
  return `{${items.join(',')}}`;
}

/** Part of whatever else is read with `queries`, at the same instant when that is a snapshot. */
export async function readLogHeads(queries: Queries, userId: string): Promise<LogHeads> {
  const [head] = await queries.select().from(eventHeads).where(eq(eventHeads.userId, userId));
  if (head === undefined) return { seq: 0, orders: 0, portfolio: 0, notifications: 0 };
  return {
    seq: head.seq,
    orders: head.ordersSeq,
    portfolio: head.portfolioSeq,
    notifications: head.notificationsSeq,
  };
}

/** Last sequence number of each user that has any. */
export function readEventHeads(database: Database, userIds: readonly string[]): Promise<Map<string, number>> {
  assert(userIds.length <= READERS_LIMIT, `ledger: at most ${READERS_LIMIT} users at once`);
  return database.read('ledger.event_heads', async (queries) => {
    const rows =
      userIds.length === 0
        ? []
        : await queries
            .select({ userId: eventHeads.userId, seq: eventHeads.seq })
            .from(eventHeads)
            .where(inArray(eventHeads.userId, [...userIds]));
    return new Map(rows.map(({ userId, seq }) => [userId, seq]));
  });
}

/** Users whose log goes on beyond what the reader has heard. Answers nothing about the others, who are nearly all. */
export function readUsersBehind(database: Database, readers: readonly LogReader[]): Promise<readonly string[]> {
  assert(readers.length <= READERS_LIMIT, `ledger: at most ${READERS_LIMIT} readers at once`);
  const users = arrayText(readers.map(({ userId }) => userId));
  const seqs = arrayText(readers.map(({ seq }) => seq));
  return database.read('ledger.users_behind', async (queries) => {
    const rows = await queries.execute<{ user_id: string }>(sql`select head.user_id
      from unnest(${users}::uuid[], ${seqs}::bigint[]) as reader (user_id, seq)
      join ledger.event_heads as head on head.user_id = reader.user_id and head.seq > reader.seq`);
    return rows.map((row) => row.user_id);
  });
}

/** Which history the numbers of events belong to; fixed until somebody restores an older copy of the database. */
export function readEventEpoch(database: Database): Promise<string> {
  return database.read('ledger.event_epoch', async (queries) => {
    const [last] = await queries.select().from(eventEpochs).orderBy(desc(eventEpochs.id)).limit(1);
    assert(last !== undefined, 'ledger: the migration made an epoch');
    return last.epoch;
  });
}

const EVENT = {
  userId: userEvents.userId,
  seq: userEvents.seq,
  stream: userEvents.stream,
  streamSeq: userEvents.streamSeq,
  type: userEvents.type,
  payload: userEvents.payload,
  createdAt: userEvents.createdAt,
};

type EventRow = Omit<LoggedEvent, 'atMs'> & Readonly<{ createdAt: Date }>;

function loggedEvent({ createdAt, ...event }: EventRow): LoggedEvent {
  // The migration's function knows these streams only.
  assert(PRIVATE_STREAMS.includes(event.stream), 'ledger: a stream that the protocol does not know');
  return { ...event, atMs: createdAt.getTime() };
}

function assertLimit(limit: number): void {
  const fits = Number.isInteger(limit) && limit > 0 && limit <= EVENTS_LIMIT;
  assert(fits, `ledger: a page has 1 to ${EVENTS_LIMIT} events`);
}
