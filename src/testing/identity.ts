import { randomUUID } from 'node:crypto';
import { createIdentity } from '../modules/identity/index.ts';
import type { IdentityDeps, Origin } from '../modules/identity/index.ts';
import { createMemorySignals } from '../platform/signals-memory.ts';
import type { SessionGrant } from '../protocol/accounts.ts';
import { startTestPostgres, surroundings } from './postgres.ts';
import type { TestDatabase, TestPostgres } from './postgres.ts';

type Identity = ReturnType<typeof createIdentity>;

export const TEST_SECRET = 'a secret that only tests know, 32 characters or more';

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
  login(identity: Identity, email: string, code?: string): Promise<SessionGrant>;
  /** Moves the database's clock for all processes. */
  moveClock(byMs: number): Promise<void>;
  stop(): Promise<void>;
}>;

export async function startIdentityRig(): Promise<IdentityRig> {
  const server = await startTestPostgres();
  const at = await server.createDatabase();
  const nodes: Identity[] = [];
  const signals = createMemorySignals(surroundings());
  const password = 'seven blue horses over a wall';
  let ips = 0;
  const rig: IdentityRig = {
    server,
    at,
    password,
    async node({ deaf = false, ...deps } = {}) {
      const database = await at.open({ size: 4 });
      const own = deaf ? createMemorySignals(surroundings()) : signals;
      const identity = createIdentity({
        database,
        signals: own,
        ...surroundings(),
        signingSecret: TEST_SECRET,
        ...deps,
      });
      nodes.push(identity);
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
      return granted(await identity.register({ email, password }, rig.origin()));
    },
    async login(identity, email, code) {
      return granted(await identity.login({ email, password, ...(code === undefined ? {} : { code }) }, rig.origin()));
    },
    async moveClock(byMs) {
      await at.runScript(`create or replace function identity.clock() returns timestamptz language sql volatile as
        $$ select clock_timestamp() + interval '${byMs} milliseconds' $$`);
    },
    async stop() {
      await Promise.all(nodes.map((node) => node.stop()));
      await server.stop();
    },
  };
  return rig;
}

function granted(answer: Awaited<ReturnType<Identity['login'] | Identity['register']>>): SessionGrant {
  if (!answer.ok) throw new Error(`${answer.code}: ${answer.message}`);
  return answer.value;
}
