import { accepted } from '../../kernel/outcome.ts';
import type { StepUpAct } from '../../protocol/accounts.ts';
import { canonicalText } from './canonical.ts';
import { busyRefusal, refusalOf } from './core.ts';
import type { Core } from './core.ts';
import type { Answer, Origin, Principal, StepUpRefusal } from './identity.ts';
import { storedOrigin } from './origin.ts';
import { isWeakPassword } from './password-rules.ts';
import { readCode } from './second-factor-codes.ts';
import { hashOf, newSecret } from './secrets.ts';
import { STEP_UP_MS, STEP_UPS_PER_USER } from './settings.ts';
import { act } from './store.ts';
import type { Proof } from './store.ts';

type Operation = Readonly<Record<string, unknown>>;
type Proofs = Readonly<{ act: StepUpAct; operation: Operation; password?: string; code?: string }>;
type ProofRefusal = 'invalid_credentials' | 'second_factor_required' | 'invalid_code' | 'rate_limited';

/** What the database compares. Keyed, because an operation may hold a password that could be guessed from a plain hash. */
export function stepUpOf(core: Core, stepUpToken: string, operation: Operation) {
  return { hash: hashOf(stepUpToken), operation: operationHash(core, operation) };
}

function operationHash(core: Core, operation: Operation): string | null {
  const text = canonicalText(operation);
  return text === null ? null : core.keyring.mac('step-up operation', Buffer.from(text, 'utf8')).toString('hex');
}

export async function stepUp(
  core: Core,
  principal: Principal,
  input: Proofs,
  origin: Origin,
): Answer<Readonly<{ stepUpToken: string; expiresAtMs: number }>, ProofRefusal> {
  const { userId, sessionId } = principal;
  const operation = operationHash(core, input.operation);
  if (sessionId === null || operation === null) return refusalOf({ code: 'invalid_credentials' });
  const stored = storedOrigin(origin);
  const proof = await beginProof(core, principal, 'step_up', origin);
  if (!proof.ok) return proof;
  const refusal = await checkProof(core, proof.value, input);
  if (refusal === 'busy') return busyRefusal();
  if (refusal !== null) {
    await act(core.database, 'refuse_proof', { userId, act: 'step_up', code: refusal, origin: stored });
    return refusalOf({ code: refusal });
  }
  const stepUpToken = `tws_${newSecret()}`;
  const done = await act(core.database, 'step_up', {
    ...proof.value,
    sessionId,
    act: input.act,
    operation,
    hash: hashOf(stepUpToken),
    code: proof.value.totpSecret === null ? null : await readCode(core, input.code, proof.value),
    stepUpMs: STEP_UP_MS,
    stepUpsLimit: STEP_UPS_PER_USER,
    origin: stored,
  });
  if (done.status === 'refused') return refusalOf(done);
  return accepted({ stepUpToken, expiresAtMs: done.expiresAtMs });
}

/** Whether a code is right is only known when it is used up, in the database. */
async function checkProof(core: Core, proof: Proof, input: Proofs): Promise<ProofRefusal | 'busy' | null> {
  if (proof.totpSecret !== null) return input.code === undefined ? 'second_factor_required' : null;
  if (input.password === undefined) return 'invalid_credentials';
  const right = await core.passwords.verify(input.password, proof.passwordHash);
  if (right === null) return 'busy';
  return right ? null : 'invalid_credentials';
}

/** Counts the try, and answers what is to be compared. */
export async function beginProof(
  core: Core,
  { userId, sessionId }: Principal,
  name: string,
  origin: Origin,
): Answer<Proof, 'rate_limited'> {
  const answer = await act(core.database, 'begin_proof', {
    userId,
    sessionId,
    act: name,
    limit: core.settings.codes,
    origin: storedOrigin(origin),
  });
  return answer.status === 'refused' ? refusalOf(answer) : accepted(answer);
}

/** What the step-up confirmed: the whole body of the request, `password` and `newPassword`. */
export async function changePassword(
  core: Core,
  principal: Principal,
  input: Readonly<{ password: string; newPassword: string; stepUpToken: string }>,
  origin: Origin,
): Answer<true, 'invalid_credentials' | 'weak_password' | 'rate_limited' | StepUpRefusal> {
  const { database, passwords } = core;
  const { userId, sessionId } = principal;
  const { password, newPassword } = input;
  if (sessionId === null) return refusalOf({ code: 'step_up_required' });
  const proof = await beginProof(core, principal, 'password_change', origin);
  if (!proof.ok) return proof;
  if (isWeakPassword(newPassword, proof.value.email)) return refusalOf({ code: 'weak_password' });
  const right = await passwords.verify(password, proof.value.passwordHash);
  if (right === null) return busyRefusal();
  if (!right) {
    const refusal = { userId, act: 'password_change', code: 'invalid_credentials', origin: storedOrigin(origin) };
    await act(database, 'refuse_proof', refusal);
    return refusalOf({ code: 'invalid_credentials' });
  }
  const newHash = await passwords.hash(newPassword);
  if (newHash === null) return busyRefusal();
  const done = await act(database, 'change_password', {
    userId,
    sessionId,
    oldHash: proof.value.passwordHash,
    newHash,
    stepUp: stepUpOf(core, input.stepUpToken, { password, newPassword }),
    origin: storedOrigin(origin),
  });
  if (done.status === 'refused') return refusalOf(done);
  await core.revocations.announce();
  return accepted(true);
}
