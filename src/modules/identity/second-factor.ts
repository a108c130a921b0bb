import { randomBytes } from 'node:crypto';
import { generateSecret, generateURI } from 'otplib';
import { accepted } from '../../kernel/outcome.ts';
import { refusalOf } from './core.ts';
import type { Core } from './core.ts';
import type { Answer, Origin, Principal, StepUpRefusal } from './identity.ts';
import { storedOrigin } from './origin.ts';
import { readUser } from './queries.ts';
import { stepOf, totpOwner } from './second-factor-codes.ts';
import { hashOf } from './secrets.ts';
import { beginProof, stepUpOf } from './step-up.ts';
import { act } from './store.ts';

const SECRET_BYTES = 20;
const RECOVERY_CODES = 10;
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const GROUPS = 4;
const GROUP_LETTERS = 5;

export async function beginTotp(
  core: Core,
  { userId }: Principal,
  origin: Origin,
): Answer<Readonly<{ secret: string; uri: string }>, 'already_done'> {
  const secret = generateSecret({ length: SECRET_BYTES });
  const sealed = core.keyring.seal(secret, totpOwner(userId));
  const answer = await act(core.database, 'begin_totp', { userId, sealed, origin: storedOrigin(origin) });
  if (answer.status === 'refused') return refusalOf(answer);
  const user = await readUser(core.database, userId);
  return accepted({ secret, uri: generateURI({ issuer: 'Tidewire', label: user?.email ?? userId, secret }) });
}

export async function confirmTotp(
  core: Core,
  principal: Principal,
  code: string,
  origin: Origin,
): Answer<readonly string[], 'invalid_code' | 'already_done' | 'not_found' | 'rate_limited'> {
  const { userId, sessionId } = principal;
  if (sessionId === null) return refusalOf({ code: 'not_found' });
  const proof = await beginProof(core, principal, 'totp_enable', origin);
  if (!proof.ok) return proof;
  const { totpSecret, totpPending } = proof.value;
  if (totpSecret !== null) return refusalOf({ code: 'already_done' });
  if (totpPending === null) return refusalOf({ code: 'not_found' });
  const secret = core.keyring.unseal(totpPending, totpOwner(userId));
  const codes = newRecoveryCodes();
  const answer = await act(core.database, 'confirm_totp', {
    userId,
    sessionId,
    totpPending,
    // No step is older than 0, so that a wrong code is refused by the same rule as a used one.
    step: stepOf(secret, code, await core.revocations.nowMs()) ?? 0,
    recoveryHashes: codes.map(hashOf),
    origin: storedOrigin(origin),
  });
  return answer.status === 'refused' ? refusalOf(answer) : accepted(codes);
}

export async function disableTotp(
  core: Core,
  { userId, sessionId }: Principal,
  stepUpToken: string,
  origin: Origin,
): Answer<true, 'not_found' | StepUpRefusal> {
  const stepUp = stepUpOf(core, stepUpToken, {});
  const answer = await act(core.database, 'disable_totp', { userId, sessionId, stepUp, origin: storedOrigin(origin) });
  return answer.status === 'refused' ? refusalOf(answer) : accepted(true);
}

export async function renewRecoveryCodes(
  core: Core,
  { userId, sessionId }: Principal,
  stepUpToken: string,
  origin: Origin,
): Answer<readonly string[], 'not_found' | StepUpRefusal> {
  const codes = newRecoveryCodes();
  const answer = await act(core.database, 'renew_recovery_codes', {
    userId,
    sessionId,
    stepUp: stepUpOf(core, stepUpToken, {}),
    recoveryHashes: codes.map(hashOf),
    origin: storedOrigin(origin),
  });
  return answer.status === 'refused' ? refusalOf(answer) : accepted(codes);
}

/** 100 random bits each: nobody guesses them, so that a fast hash is enough. */
function newRecoveryCodes(): string[] {
  return Array.from({ length: RECOVERY_CODES }, () => {
    // A byte's lowest five bits are as even as the byte.
    const letters = Array.from(randomBytes(GROUPS * GROUP_LETTERS), (byte) => ALPHABET[byte & 31]!);
    const groups = Array.from({ length: GROUPS }, (_, index) =>
      letters.slice(index * GROUP_LETTERS, (index + 1) * GROUP_LETTERS).join(''),
    );
    return groups.join('-');
  });
}
