import { generateSync } from 'otplib';
import { timingSafeEqual } from 'node:crypto';
import type { Core } from './core.ts';
import { hashOf } from './secrets.ts';

export const TOTP_STEP_MS = 30_000;
const RECOVERY_CODE = /^[A-Z2-7]{5}(?:-[A-Z2-7]{5}){3}$/;
/** The current step and the one before it: a phone's clock and a slow thumb, and nothing of the future. */
const STEPS_BACK = 1;

/** What the database is to use up. Both null: the code is wrong, which still counts as a try. */
export type SpentCode = Readonly<{ step: number | null; recoveryHash: string | null }>;

type Owner = Readonly<{ userId: string | null; totpSecret: string | null }>;

/** Null: no code was given. */
export async function readCode(core: Core, code: string | undefined, owner: Owner): Promise<SpentCode | null> {
  if (code === undefined) return null;
  if (RECOVERY_CODE.test(code)) return { step: null, recoveryHash: hashOf(code) };
  const { userId, totpSecret } = owner;
  if (userId === null || totpSecret === null) return { step: null, recoveryHash: null };
  const secret = core.keyring.unseal(totpSecret, totpOwner(userId));
  return { step: stepOf(secret, code, await core.revocations.nowMs()), recoveryHash: null };
}

export function totpOwner(userId: string): string {
  return `totp ${userId}`;
}

/** The step whose code this is, or null. */
export function stepOf(secret: string, code: string, nowMs: number): number | null {
  const current = Math.floor(nowMs / TOTP_STEP_MS);
  const steps = Array.from({ length: STEPS_BACK + 1 }, (_, back) => current - back);
  // All are compared, so that time does not tell which.
  const fitting = steps.filter((step) => isEqual(codeAt(secret, step), code));
  return fitting[0] ?? null;
}

export function codeAt(secret: string, step: number): string {
  return generateSync({ secret, epoch: (step * TOTP_STEP_MS) / 1_000 });
}

function isEqual(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
