import { sql } from 'drizzle-orm';
import type { Log } from '../../platform/log.ts';
import type { Metrics } from '../../platform/metrics.ts';
import type { Clock } from '../../kernel/clock.ts';
import type { Database, Queries } from '../../platform/postgres.ts';
import type { Signals } from '../../platform/signals.ts';
import type { AccessClaims } from './access-tokens.ts';
import type { Revocation } from './identity.ts';

/** So that a lost signal costs at most this and one look. */
const LOOK_EVERY_MS = 1_000;
/** Nothing is decided on an older look. */
const FRESH_MS = 2_000;
/** However many signals come: looks are at least this far apart. */
const PAUSE_MS = 10;
const PAGE_LIMIT = 1_000;
/** Revocations kept in memory, a few hundred bytes each. Beyond it every token is looked up in the database instead. */
const KEPT_LIMIT = 50_000;

type Position = Readonly<{ seq: number; place: number }>;
type Found = Position & Revocation & Readonly<{ version: number | null }>;
type Kept = Readonly<{ atMs: number; minVersion: number }>;

export type Revocations = Readonly<{
  /** The database's clock, carried on by our monotonic one: steps of the wall clock change nothing. Waits for the first look. */
  nowMs(): Promise<number>;
  /** The same, and rather too late than too early, by as much as a look takes. */
  latestNowMs(): Promise<number>;
  /** Looks again unless the last look is fresh. Rejects with `DatabaseFailure` when that fails: then nobody knows. */
  isRevoked(claims: AccessClaims): Promise<boolean | 'ask_database'>;
  onRevoked(listener: (revocation: Revocation) => void): () => void;
  /** After an act of our own: everybody looks, we too. Answers when we have. */
  announce(): Promise<void>;
  stop(): Promise<void>;
}>;

export type RevocationDeps = Readonly<{
  database: Database;
  signals: Signals;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  /** Older ones concern no token that is still good. */
  keptMs: number;
}>;

export function createRevocations(deps: RevocationDeps): Revocations {
  return new RevocationWatch(deps);
}

class RevocationWatch implements Revocations {
  readonly #deps: RevocationDeps;
  readonly #kept = new Map<string, Kept>();
  readonly #listeners = new Set<(revocation: Revocation) => void>();
  readonly #timer: NodeJS.Timeout;
  readonly #unsubscribe: () => void;
  readonly #failures;
  /** Null before the first look. */
  #last: Position | null = null;
  /** Between these two, added to the monotonic clock, the database's clock stands. */
  #offsets: Readonly<{ earliestMs: number; latestMs: number }> | null = null;
  /** Monotonic, when the last successful look began. */
  #lookedMs = Number.NEGATIVE_INFINITY;
  #overflowedUntilMs = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | null = null;
  #again: Promise<void> | null = null;
  #stopped = false;

  constructor(deps: RevocationDeps) {
    this.#deps = deps;
    this.#failures = deps.metrics.counter(
      'identity_revocation_look_failures_total',
      'Looks for revocations that failed',
    );
    this.#timer = setInterval(() => this.#lookQuietly(), LOOK_EVERY_MS);
    this.#timer.unref();
    // The text is only a hint: whoever can publish can make us look, and nothing else.
    this.#unsubscribe = deps.signals.subscribe('revoked', () => this.#lookQuietly());
    this.#lookQuietly();
  }

  async nowMs(): Promise<number> {
    if (this.#offsets === null) await this.#look();
    return this.#offsets!.earliestMs + this.#deps.clock.monotonic();
  }

  async latestNowMs(): Promise<number> {
    if (this.#offsets === null) await this.#look();
    return this.#offsets!.latestMs + this.#deps.clock.monotonic();
  }

  async isRevoked(claims: AccessClaims): Promise<boolean | 'ask_database'> {
    if (this.#deps.clock.monotonic() - this.#lookedMs > FRESH_MS) await this.#look();
    if (this.#overflowedUntilMs > this.#deps.clock.monotonic()) return 'ask_database';
    if (this.#kept.has(`session ${claims.sessionId}`)) return true;
    return claims.version < (this.#kept.get(`user ${claims.userId}`)?.minVersion ?? 0);
  }

  onRevoked(listener: (revocation: Revocation) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async announce(): Promise<void> {
    this.#deps.signals.publish('revoked', 'look');
    try {
      await this.#look();
    } catch (error) {
      // The act itself has happened; whoever asks next looks again.
      this.#report(error);
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    this.#unsubscribe();
    this.#listeners.clear();
    await Promise.allSettled([this.#looking, this.#again]);
  }

  #lookQuietly(): void {
    this.#look().catch((error: unknown) => this.#report(error));
  }

  #report(error: unknown): void {
    if (this.#stopped) return;
    this.#failures.inc({});
    this.#deps.log.warn({ event: 'identity_revocation_look_failed', error });
  }

  /** A look that begins after this call. At most one is under way and one more waits, whoever asks. */
  #look(): Promise<void> {
    if (!this.#looking) {
      this.#looking = this.#lookNow().finally(() => {
        this.#looking = null;
      });
      return this.#looking;
    }
    this.#again ??= this.#looking
      .catch(() => undefined)
      .then(() => new Promise((resolve) => setTimeout(resolve, PAUSE_MS)))
      .then(() => {
        this.#again = null;
        return this.#look();
      });
    return this.#again;
  }

  async #lookNow(): Promise<void> {
    const { database, clock, keptMs } = this.#deps;
    const first = this.#last === null;
    // The first look also opens a connection; only the second tells the time well.
    for (let round = first ? 0 : 1; ; round++) {
      const beganMs = clock.monotonic();
      const { databaseMs, headSeq, found } = await database.read('identity.revocations', (queries) =>
        readRevocations(queries, this.#last, keptMs),
      );
      this.#setClock(databaseMs, beganMs, clock.monotonic());
      this.#last = found.at(-1) ?? this.#last ?? { seq: headSeq, place: 0 };
      this.#forget(beganMs);
      for (const revocation of found) this.#take(revocation, beganMs, first);
      if (found.length < PAGE_LIMIT && round > 0) {
        this.#lookedMs = beganMs;
        return;
      }
    }
  }

  /** The answer was written somewhere between the two. Each look narrows what we know, until a clock has moved. */
  #setClock(databaseMs: number, beganMs: number, endedMs: number): void {
    // The database tells whole milliseconds, rounded down.
    const seen = { earliestMs: databaseMs - endedMs, latestMs: databaseMs + 1 - beganMs };
    const known = this.#offsets ?? seen;
    const earliestMs = Math.max(seen.earliestMs, known.earliestMs);
    const latestMs = Math.min(seen.latestMs, known.latestMs);
    this.#offsets = earliestMs <= latestMs ? { earliestMs, latestMs } : seen;
  }

  #take(revocation: Found, nowMs: number, first: boolean): void {
    // Keys are asked for in the database with each use.
    if (revocation.keyId === null) this.#keep(revocation, nowMs);
    // What was revoked before this process began concerns nobody who is connected to it.
    if (first) return;
    const { userId, sessionId, keyId } = revocation;
    for (const listener of this.#listeners) {
      try {
        listener({ userId, sessionId, keyId });
      } catch (error) {
        this.#deps.log.error({ event: 'identity_revocation_listener_failed', error });
      }
    }
  }

  #keep({ userId, sessionId, version }: Found, nowMs: number): void {
    const name = sessionId === null ? `user ${userId}` : `session ${sessionId}`;
    const minVersion = Math.max(version ?? 0, this.#kept.get(name)?.minVersion ?? 0);
    // Taken out first, so that the map stays in the order of time.
    this.#kept.delete(name);
    if (this.#kept.size >= KEPT_LIMIT) this.#overflowedUntilMs = nowMs + this.#deps.keptMs;
    else this.#kept.set(name, { atMs: nowMs, minVersion });
  }

  #forget(nowMs: number): void {
    for (const [name, { atMs }] of this.#kept) {
      if (nowMs - atMs < this.#deps.keptMs) return;
      this.#kept.delete(name);
    }
  }
}

async function readRevocations(
  queries: Queries,
  last: Position | null,
  keptMs: number,
): Promise<{ databaseMs: number; headSeq: number; found: Found[] }> {
  const after =
    last === null
      ? sql`created_at > identity.clock() - ${keptMs} * interval '1 millisecond'`
      : sql`(seq, place) > (${last.seq}::bigint, ${last.place}::integer)`;
  // One statement: who sees the head's number can see all revocations up to it.
  const rows = await queries.execute(sql`
    select identity.ms(identity.clock()) as now_ms, head.seq as head_seq, r.*
    from identity.audit_head as head left join lateral (
      select seq, place, user_id, session_id, key_id, token_version from identity.revocations
      where ${after} order by seq, place limit ${PAGE_LIMIT}
    ) as r on true order by r.seq, r.place`);
  const found = rows
    .filter((row) => row.seq !== null)
    .map((row) => ({
      seq: Number(row.seq),
      place: Number(row.place),
      userId: String(row.user_id),
      sessionId: row.session_id as string | null,
      keyId: row.key_id as string | null,
      version: row.token_version === null ? null : Number(row.token_version),
    }));
  return { databaseMs: Number(rows[0]!.now_ms), headSeq: Number(rows[0]!.head_seq), found };
}
