import { sql } from 'drizzle-orm';
import type { Database } from '../../platform/postgres.ts';
import type { User } from '../../protocol/accounts.ts';
import type { Principal } from './identity.ts';

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
    queries.execute(sql`select u.roles from identity.users u
      where u.id = ${userId}::uuid and cardinality(u.roles) > 0 and ${good}`),
  );
  const now = rows[0]?.roles;
  if (now === undefined) return false;
  return sameRoles(readList(now), roles);
}

function sameRoles(left: readonly string[], right: readonly string[]): boolean {
  return left.toSorted().join() === right.toSorted().join();
}

/** The driver is told no types, so that an array comes as its text; ours hold plain words only. */
export function readList(value: unknown): string[] {
  if (Array.isArray(value)) return value.map(String);
  const text = String(value).slice(1, -1);
  return text === '' ? [] : text.split(',').map((item) => item.replace(/^"|"$/g, ''));
}
