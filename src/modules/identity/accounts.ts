import { randomUUID } from 'node:crypto';
import { accepted } from '../../kernel/outcome.ts';
import type { SessionGrant } from '../../protocol/accounts.ts';
import { busyRefusal, refusalOf } from './core.ts';
import type { Core } from './core.ts';
import type { Answer, LoginRefusal, Origin } from './identity.ts';
import { cleanDevice, deviceTokenOf, ipSubject, storedOrigin } from './origin.ts';
import { isWeakPassword } from './password-rules.ts';
import { newRefreshToken } from './refresh-token.ts';
import { readCode } from './second-factor-codes.ts';
import { hashOf, newSecret } from './secrets.ts';
import { grantSession } from './sessions.ts';
import { DEVICE_MS, DEVICES_PER_USER, SESSIONS_PER_USER } from './settings.ts';
import { act } from './store.ts';
import type { LoginStart } from './store.ts';

type Credentials = Readonly<{ email: string; password: string; code?: string; device?: string }>;

export async function register(
  core: Core,
  input: Omit<Credentials, 'code'>,
  origin: Origin,
): Answer<SessionGrant, 'email_taken' | 'weak_password' | 'rate_limited'> {
  const { database, passwords, settings } = core;
  const email = emailOf(input.email);
  if (isWeakPassword(input.password, email)) return refusalOf({ code: 'weak_password' });
  const stored = storedOrigin(origin);
  const started = await act(database, 'begin_register', {
    ipSubject: ipSubject(stored),
    ipLimit: settings.registrationsPerIp,
    origin: stored,
  });
  if (started.status === 'refused') return refusalOf(started);
  const passwordHash = await passwords.hash(input.password);
  if (passwordHash === null) return busyRefusal();
  const session = newSession(core, input.device, origin, true);
  const made = await act(database, 'register', { ...session.row, userId: randomUUID(), email, passwordHash });
  if (made.status === 'refused') return refusalOf(made);
  return accepted(await grantSession(core, made, session));
}

export async function login(core: Core, input: Credentials, origin: Origin): Answer<SessionGrant, LoginRefusal> {
  const { database, passwords, settings } = core;
  const email = emailOf(input.email);
  const stored = storedOrigin(origin);
  const deviceToken = deviceTokenOf(origin);
  const started = await act(database, 'begin_login', {
    email,
    deviceHash: deviceToken === null ? null : hashOf(deviceToken),
    ipSubject: ipSubject(stored),
    ipLimit: settings.loginsPerIp,
    accountLimit: settings.loginsPerAccount,
    origin: stored,
  });
  if (started.status === 'refused') return refusalOf(started);
  const right = await passwords.verify(input.password, started.passwordHash);
  if (right === null) return busyRefusal();
  if (!right) {
    const refusal = { act: 'login', userId: started.userId, origin: stored };
    await act(database, 'refuse_login', refusal);
    return refusalOf({ code: 'invalid_credentials' });
  }
  return finishLogin(core, input, origin, started);
}

async function finishLogin(
  core: Core,
  input: Credentials,
  origin: Origin,
  started: LoginStart,
): Answer<SessionGrant, LoginRefusal> {
  const session = newSession(core, input.device, origin, !started.knownDevice);
  const finished = await act(core.database, 'finish_login', {
    ...started,
    ...session.row,
    ipSubject: ipSubject(session.row.origin),
    code: await readCode(core, input.code, started),
    codeLimit: core.settings.codes,
  });
  if (finished.status === 'refused') return refusalOf(finished);
  return accepted(await grantSession(core, finished, session));
}

/** Two addresses that look the same are the same. What no address can hold becomes a space, which none can hold either. */
export function emailOf(email: string): string {
  return email.normalize('NFC').toLowerCase().replace(/\p{C}/gu, ' ');
}

function newSession(core: Core, device: string | undefined, origin: Origin, newDevice: boolean) {
  const sessionId = randomUUID();
  const refreshToken = newRefreshToken(core.keyring, { sessionId, generation: 1 });
  const deviceToken = newDevice ? `twd_${newSecret()}` : null;
  const row = {
    sessionId,
    refreshHash: hashOf(refreshToken),
    device: cleanDevice(device),
    origin: storedOrigin(origin),
    idleMs: core.settings.sessionIdleMs,
    absoluteMs: core.settings.sessionAbsoluteMs,
    sessionsLimit: SESSIONS_PER_USER,
    newDeviceHash: deviceToken === null ? null : hashOf(deviceToken),
    deviceMs: DEVICE_MS,
    devicesLimit: DEVICES_PER_USER,
  };
  return { row, refreshToken, deviceToken };
}
