import { randomUUID } from 'node:crypto';
import { generateSync } from 'otplib';
import { expect, vi } from 'vitest';
import type { Outcome } from '../kernel/outcome.ts';
import { createIdentity } from '../modules/identity/index.ts';
import type { Identity, IdentityDeps, Origin, Principal } from '../modules/identity/index.ts';
import { createMemorySignals } from '../platform/signals-memory.ts';
import type { SessionGrant, StepUpAct } from '../protocol/accounts.ts';
import { EMPTY_BODY_HASH } from '../protocol/signing.ts';
import { startTestPostgres, surroundings } from './postgres.ts';
import type { TestDatabase, TestPostgres } from './postgres.ts';

export const TEST_SECRET = 'a secret that only tests know, 32 characters or more';
export const DAY_MS = 86_400_000;
const STEP_MS = 30_000;

export type TotpUser = Readonly<{
  email: string;
  me: Principal;
  secret: string;
  recoveryCodes: readonly string[];
  /** A code that was not used yet; moves the clock on where the current one was. */
  code(): Promise<string>;
}>;

/** Several processes' identities over one database. */
export type IdentityRig = Readonly<{
  server: TestPostgres;
  at: TestDatabase;
  /** One more process: a pool, a memory and a poller of its own. `deaf`: it hears no signals. */
  node(options?: Partial<IdentityDeps> & Readonly<{ deaf?: boolean }>): Promise<Identity>;
  email(): string;
  password: string;
  origin(given?: Partial<Origin>): Origin;
  register(identity: Identity, email?: string): Promise<SessionGrant>;
  registerWithTotp(identity: Identity): Promise<TotpUser>;
  login(identity: Identity, email: string, code?: string): Promise<SessionGrant>;
  tryLogin(identity: Identity, email: string, code?: string): ReturnType<Identity['login']>;
  /** By password. */
  stepUp(identity: Identity, me: Principal, act: StepUpAct, operation: object): Promise<string>;
  codeAt(secret: string, step: number): string;
  codeNow(secret: string): string;
  wrongCode(secret: string): string;
  /** So many steps from now. */
  stepAt(identity: Identity, steps: number): Promise<number>;
  /** Moves the database's clock for all processes. */
  moveClock(byMs: number): Promise<void>;
  clockMovedMs(): number;
  /** Until the process has looked at the database's clock. */
  hearClock(identity: Identity): Promise<void>;
  stop(): Promise<void>;
}>;

export async function startIdentityRig(): Promise<IdentityRig> {
  const server = await startTestPostgres();
  const at = await server.createDatabase();
  const nodes: Identity[] = [];
  const hearing: Identity[] = [];
  const signals = createMemorySignals(surroundings());
  const password = 'seven blue horses over a wall';
  let ips = 0;
  let movedMs = 0;
  const nowMs = () => Date.now() + movedMs;
  const currentStep = () => Math.floor(nowMs() / STEP_MS);
  const rig: IdentityRig = {
    server,
    at,
    password,
    async node({ deaf = false, ...deps } = {}) {
      const identity = createIdentity({
        database: deps.database ?? (await at.open({ size: 4 })),
        signals: deaf ? createMemorySignals(surroundings()) : signals,
        ...surroundings(),
        signingSecret: TEST_SECRET,
        ...deps,
      });
      nodes.push(identity);
      if (!deaf) hearing.push(identity);
      return identity;
    },
    email: () => `${randomUUID()}@example.com`,
    // An address of its own for each, so that nobody is throttled for somebody else.
    origin: (given = {}) => ({
      ip: `10.${(ips += 1) >> 16}.${(ips >> 8) & 255}.${ips & 255}`,
      userAgent: 'test',
      requestId: randomUUID(),
      ...given,
    }),
    async register(identity, email = rig.email()) {
      return valueOf(await identity.register({ email, password }, rig.origin()));
    },
    registerWithTotp: (identity) => registerWithTotp(rig, identity, currentStep),
    login: async (identity, email, code) => valueOf(await rig.tryLogin(identity, email, code)),
    tryLogin: (identity, email, code) =>
      identity.login({ email, password, ...(code === undefined ? {} : { code }) }, rig.origin()),
    async stepUp(identity, me, act, operation) {
      const proof = { act, operation: { ...operation }, password };
      return valueOf(await identity.stepUp(me, proof, rig.origin())).stepUpToken;
    },
    codeAt: (secret, step) => generateSync({ secret, epoch: (step * STEP_MS) / 1_000 }),
    codeNow: (secret) => rig.codeAt(secret, currentStep()),
    wrongCode(secret) {
      const near = new Set([-3, -2, -1, 0, 1, 2, 3].map((steps) => rig.codeAt(secret, currentStep() + steps)));
      return ['111111', '222222', '333333', '444444', '555555', '666666', '777777', '888888'].find(
        (code) => !near.has(code),
      )!;
    },
    async stepAt(identity, steps) {
      await leaveRoom(rig, identity, nowMs);
      return currentStep() + steps;
    },
    async moveClock(byMs) {
      movedMs = byMs;
      await at.runScript(`create or replace function identity.clock() returns timestamptz language sql volatile as
        $$ select clock_timestamp() + interval '${byMs} milliseconds' $$`);
      for (const node of hearing) await rig.hearClock(node);
    },
    clockMovedMs: () => movedMs,
    async hearClock(identity) {
      signals.publish('revoked', 'look');
      await vi.waitFor(async () => expect(Math.abs((await clockOf(identity)) - nowMs())).toBeLessThan(500), {
        timeout: 10_000,
      });
    },
    async stop() {
      await Promise.all(nodes.map((node) => node.stop()));
      await server.stop();
    },
  };
  return rig;
}

async function registerWithTotp(rig: IdentityRig, identity: Identity, currentStep: () => number): Promise<TotpUser> {
  const { user, accessToken } = await rig.register(identity);
  const me = valueOf(await identity.authenticateToken(accessToken));
  const { secret } = valueOf(await identity.beginTotp(me, rig.origin()));
  let used = (await rig.stepAt(identity, 0)) - 1;
  const recoveryCodes = valueOf(await identity.confirmTotp(me, rig.codeAt(secret, used), rig.origin()));
  return {
    email: user.email,
    me,
    secret,
    recoveryCodes,
    async code() {
      if (currentStep() <= used) await rig.moveClock(rig.clockMovedMs() + (used + 1 - currentStep()) * STEP_MS);
      used = await rig.stepAt(identity, 0);
      return rig.codeAt(secret, used);
    },
  };
}

/** A step that is nearly over would be the last one by the time its code arrives. */
async function leaveRoom(rig: IdentityRig, identity: Identity, nowMs: () => number): Promise<void> {
  const intoMs = nowMs() % STEP_MS;
  if (intoMs > STEP_MS / 2) await rig.moveClock(rig.clockMovedMs() + STEP_MS - intoMs + 1);
  await rig.hearClock(identity);
}

/** What the process believes the database's clock to be; it tells those who sign with a wrong time. */
async function clockOf(identity: Identity): Promise<number> {
  const request = {
    keyId: `twk_${'A'.repeat(22)}`,
    timestampMs: 1,
    recvWindowMs: 1,
    nonce: 'x'.repeat(16),
    signature: 'x',
    method: 'GET',
    path: '/',
    bodyHash: EMPTY_BODY_HASH,
  };
  const answer = await identity.authenticateSigned(request, { ip: '::1', userAgent: null, requestId: null });
  return Number(/[0-9]+$/.exec(answer.ok ? '' : answer.message)?.[0]);
}

export function valueOf<T>(answer: Outcome<T>): T {
  if (!answer.ok) throw new Error(`${answer.code}: ${answer.message}`);
  return answer.value;
}

export function codeOf(answer: Outcome<unknown>): string {
  return answer.ok ? 'ok' : answer.code;
}

export function countCodes(answers: readonly Outcome<unknown>[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const answer of answers) counts[codeOf(answer)] = (counts[codeOf(answer)] ?? 0) + 1;
  return counts;
}
