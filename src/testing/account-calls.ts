import { createHash, createHmac, randomBytes } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import { generateSync } from 'otplib';
import { expect } from 'vitest';
import { NewApiKeySchema, SessionGrantSchema, StepUpSchema } from '../protocol/accounts.ts';
import type { KeyCreate, SessionGrant, StepUpAct } from '../protocol/accounts.ts';
import { signingText } from '../protocol/signing.ts';
import type { AccountsServer, Reply } from './accounts-server.ts';
import type { IdentityRig } from './identity.ts';

const TOTP_STEP_MS = 30_000;
let addresses = 0;

/** An address of its own for each caller, as a trusted proxy would report it. */
export function ownIp(): string {
  addresses += 1;
  return `10.${(addresses >> 16) + 100}.${(addresses >> 8) & 255}.${addresses & 255}`;
}

export async function registerOver(server: AccountsServer, rig: IdentityRig, ip = ownIp()): Promise<SessionGrant> {
  const body = { email: rig.email(), password: rig.password };
  const answer = await server.call('POST', '/v1/auth/register', { body, ip });
  expect(answer.status, answer.text).toBe(201);
  return SessionGrantSchema.parse(answer.body);
}

/** The token that confirms one act; `proof` is the password or a code. */
export async function stepUpOver(
  server: AccountsServer,
  token: string,
  confirms: Readonly<{ act: StepUpAct; operation: object; password?: string; code?: string }>,
): Promise<string> {
  const answer = await server.call('POST', '/v1/auth/step-up', { token, body: confirms });
  expect(answer.status, answer.text).toBe(200);
  return StepUpSchema.parse(answer.body).stepUpToken;
}

export type TestKey = Readonly<{ id: string; secret: string }>;

export async function createKeyOver(
  server: AccountsServer,
  token: string,
  password: string,
  changes: Partial<KeyCreate> = {},
): Promise<TestKey> {
  const body = { label: 'bot', scopes: ['read', 'trade'], algorithm: 'hmac-sha256', ...changes };
  const stepUpToken = await stepUpOver(server, token, { act: 'key_create', operation: body, password });
  const answer = await server.call('POST', '/v1/auth/keys', {
    token,
    body,
    headers: { 'x-step-up-token': stepUpToken },
  });
  expect(answer.status, answer.text).toBe(201);
  const { key, secret } = NewApiKeySchema.parse(answer.body);
  return { id: key.id, secret: secret! };
}

export type Signing = Readonly<{ timestampMs?: number; recvWindowMs?: number; nonce?: string; body?: string }>;

/** What a bot sends; computed by the text of PROTOCOL.md. */
export function signedHeaders(
  key: TestKey,
  method: string,
  path: string,
  signing: Signing = {},
): Record<string, string> {
  const {
    timestampMs = Date.now(),
    recvWindowMs = 5_000,
    nonce = randomBytes(16).toString('hex'),
    body = '',
  } = signing;
  const bodyHash = createHash('sha256').update(body).digest('hex');
  const text = signingText({ keyId: key.id, timestampMs, recvWindowMs, nonce, method, path, bodyHash });
  return {
    'x-api-key': key.id,
    'x-api-timestamp': String(timestampMs),
    'x-api-recv-window': String(recvWindowMs),
    'x-api-nonce': nonce,
    'x-api-signature': createHmac('sha256', key.secret).update(text).digest('base64url'),
  };
}

export function totpAt(secret: string, atMs: number): string {
  return generateSync({ secret, epoch: Math.floor(atMs / TOTP_STEP_MS) * (TOTP_STEP_MS / 1_000) });
}

export type RawAnswer = Readonly<{ status: number; headers: IncomingHttpHeaders; text: string }>;

/** A request that `fetch` would not send as it is. */
export function callRaw(
  port: number,
  given: Readonly<{
    method: string;
    path: string;
    headers?: Record<string, string | string[]>;
    body?: string | Buffer;
  }>,
): Promise<RawAnswer> {
  const { method, path, headers = {}, body } = given;
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest({ host: '127.0.0.1', port, method, path, headers, agent: false }, (answer) => {
      let text = '';
      answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text }));
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

export function codeOf(answer: Reply): string {
  return (answer.body as { code: string }).code;
}
