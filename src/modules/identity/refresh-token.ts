import { randomBytes } from 'node:crypto';
import type { Keyring } from './secrets.ts';

const UUID_BYTES = 16;
const GENERATION_BYTES = 4;
const SECRET_BYTES = 32;
const VISIBLE_BYTES = UUID_BYTES + GENERATION_BYTES + SECRET_BYTES;
const TOKEN = /^twr_[A-Za-z0-9_-]{91}$/;
const PURPOSE = 'refresh token';

export type RefreshToken = Readonly<{ sessionId: string; generation: number }>;

/**
 * The session, its generation, 256 random bits, and a MAC over them. By the MAC a token that was used up is known for one of
 * ours without keeping all of them; without it, anybody who has seen a session's id could have it ended as stolen.
 */
export function newRefreshToken(keyring: Keyring, { sessionId, generation }: RefreshToken): string {
  const visible = Buffer.alloc(VISIBLE_BYTES);
  Buffer.from(sessionId.replaceAll('-', ''), 'hex').copy(visible);
  visible.writeUInt32BE(generation, UUID_BYTES);
  randomBytes(SECRET_BYTES).copy(visible, UUID_BYTES + GENERATION_BYTES);
  return `twr_${Buffer.concat([visible, keyring.mac(PURPOSE, visible)]).toString('base64url')}`;
}

/** Null: never given out by us. */
export function readRefreshToken(keyring: Keyring, token: string): RefreshToken | null {
  if (!TOKEN.test(token)) return null;
  const bytes = Buffer.from(token.slice(4), 'base64url');
  const visible = bytes.subarray(0, VISIBLE_BYTES);
  if (!keyring.macFits(PURPOSE, visible, bytes.subarray(VISIBLE_BYTES))) return null;
  const hex = visible.subarray(0, UUID_BYTES).toString('hex');
  return {
    sessionId: hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'),
    generation: visible.readUInt32BE(UUID_BYTES),
  };
}
