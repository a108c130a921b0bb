import { sql } from 'drizzle-orm';
import type { Database, Row } from '../../platform/postgres.ts';
import type { ApiKey, AuditEntry, Session, User } from '../../protocol/accounts.ts';
import type { Principal } from './identity.ts';
import { KEYS_PER_USER, SESSIONS_PER_USER } from './settings.ts';

const AUDIT_PAGE_LIMIT = 500;
export const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/;

export async function readUser(database: Database, userId: string): Promise<User | null> {
  if (!UUID.test(userId)) return null;
  const rows = await database.read('identity.user', (queries) =>
    queries.execute(sql`select identity.user_json(u) as "user" from identity.users u where id = ${userId}::uuid`),
  );
  return (rows[0]?.user as User | undefined) ?? null;
}

/** Whether session or key, and the user's roles, are still what the principal says. */
export async function isStillGood(database: Database, principal: Principal): Promise<boolean> {
  const { userId, sessionId, keyId, roles } = principal;
  const good =
    sessionId !== null
      ? sql`exists (select from identity.sessions s where s.id = ${sessionId}::uuid and s.user_id = u.id
          and s.ended_at is null and s.idle_until > identity.clock() and s.ends_at > identity.clock())`
      : sql`exists (select from identity.api_keys k where k.id = ${keyId} and k.user_id = u.id
          and k.revoked_at is null and (k.expires_at is null or k.expires_at > identity.clock()))`;
  const rows = await database.read('identity.recheck', (queries) =>
    queries.execute(sql`select to_json(u.roles) as roles from identity.users u
      where u.id = ${userId}::uuid and cardinality(u.roles) > 0 and ${good}`),
  );
  const now = rows[0]?.roles;
  if (now === undefined) return false;
  return sameRoles(now as string[], roles);
}

function sameRoles(left: readonly string[], right: readonly string[]): boolean {
  return left.toSorted().join() === right.toSorted().join();
}

export async function readSessions(database: Database, principal: Principal): Promise<Session[]> {
  const rows = await database.read('identity.sessions', (queries) =>
    queries.execute(sql`
      select id, device, ip, user_agent, identity.ms(created_at) as created, identity.ms(last_used_at) as used,
        identity.ms(least(idle_until, ends_at)) as expires
      from identity.sessions where user_id = ${principal.userId}::uuid and ended_at is null
        and idle_until > identity.clock() and ends_at > identity.clock()
      order by last_used_at desc limit ${SESSIONS_PER_USER}`),
  );
  return rows.map((row) => ({
    id: String(row.id),
    device: textOf(row.device),
    ip: String(row.ip),
    userAgent: textOf(row.user_agent),
    createdAt: Number(row.created),
    lastUsedAt: Number(row.used),
    expiresAt: Number(row.expires),
    current: row.id === principal.sessionId,
  }));
}

export async function readKeys(database: Database, userId: string): Promise<ApiKey[]> {
  const rows = await database.read('identity.keys', (queries) =>
    queries.execute(sql`select identity.key_json(k) as "key" from identity.api_keys k
      where user_id = ${userId}::uuid and revoked_at is null and (expires_at is null or expires_at > identity.clock())
      order by created_at desc limit ${KEYS_PER_USER}`),
  );
  return rows.map((row) => row.key as ApiKey);
}

export type StoredKey = Readonly<{
  userId: string;
  ipAllowList: readonly string[];
  publicKey: string | null;
  sealed: string | null;
}>;

export async function readSigningKey(database: Database, keyId: string): Promise<StoredKey | null> {
  const rows = await database.read('identity.signing_key', (queries) =>
    queries.execute(sql`select user_id, to_json(ip_allow_list) as list, public_key, secret from identity.api_keys
      where id = ${keyId} and revoked_at is null`),
  );
  const row = rows[0];
  if (!row) return null;
  return {
    userId: String(row.user_id),
    ipAllowList: row.list as string[],
    publicKey: textOf(row.public_key),
    sealed: textOf(row.secret),
  };
}

/** Newest first. */
export async function readAuditOf(
  database: Database,
  userId: string,
  page: Readonly<{ before: number | null; limit: number }>,
): Promise<AuditEntry[]> {
  const before = page.before === null ? sql`` : sql`and seq < ${page.before}::bigint`;
  const limit = Math.min(Math.max(page.limit, 1), AUDIT_PAGE_LIMIT);
  const rows = await database.read('identity.audit_of', (queries) =>
    queries.execute(sql`
      select seq, identity.ms(at) as at, act, outcome, ip, request_id, details, encode(hash, 'hex') as hash
      from identity.audit_log where user_id = ${userId}::uuid ${before} order by seq desc limit ${limit}`),
  );
  return rows.map((row) => ({
    seq: Number(row.seq),
    at: Number(row.at),
    act: String(row.act),
    outcome: row.outcome as AuditEntry['outcome'],
    ip: textOf(row.ip),
    requestId: textOf(row.request_id),
    details: row.details as AuditEntry['details'],
    hash: String(row.hash),
  }));
}

export async function readAuditHead(database: Database): Promise<Readonly<{ seq: number; hash: string }>> {
  const rows = await database.read('identity.audit_head', (queries) =>
    queries.execute(sql`select seq, encode(hash, 'hex') as hash from identity.audit_head`),
  );
  const head = rows[0] as Row;
  return { seq: Number(head.seq), hash: String(head.hash) };
}

export async function readAuditTexts(
  database: Database,
  after: number,
  limit: number,
): Promise<Readonly<{ seq: number; text: string; hash: string }>[]> {
  const rows = await database.read('identity.audit_texts', (queries) =>
    queries.execute(sql`
      select seq, identity.audit_text(e) as text, encode(hash, 'hex') as hash from identity.audit_log e
      where seq > ${after}::bigint order by seq limit ${limit}`),
  );
  return rows.map((row) => ({ seq: Number(row.seq), text: String(row.text), hash: String(row.hash) }));
}

function textOf(value: unknown): string | null {
  return value === null || value === undefined ? null : (value as string);
}
