import { io } from 'socket.io-client';
import type { Socket } from 'socket.io-client';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createKeyOver, signedHeaders } from '../../testing/account-calls.ts';
import type { TestKey } from '../../testing/account-calls.ts';
import { startAccountsServer } from '../../testing/accounts-server.ts';
import type { AccountsServer } from '../../testing/accounts-server.ts';
import { startIdentityRig } from '../../testing/identity.ts';
import type { IdentityRig } from '../../testing/identity.ts';
import { startQuotedMarket } from '../../testing/scripted-gateway.ts';
import type { ScriptedMarket } from '../../testing/scripted-market.ts';
import { RawClient, RawSocket, clientFrame, until } from './raw-client-contract.ts';
import type { DoorName } from './wire.ts';

/** What a revocation may take to reach every socket. */
const REVOCATION_LIMIT_MS = 2_000;
const EXPIRY_LIMIT_MS = 5_000;
const USER_CONNECTIONS = 3;

let rig: IdentityRig;
let scripted: ScriptedMarket;
let one: AccountsServer;
let two: AccountsServer;
const clients: RawClient[] = [];
const sockets: Socket[] = [];

beforeAll(async () => {
  rig = await startIdentityRig();
  scripted = await startQuotedMarket();
  const limits = { connectionsPerUser: USER_CONNECTIONS };
  one = await startAccountsServer(rig, scripted, { limits });
  // Hears no signals: it has to find revocations by itself.
  two = await startAccountsServer(rig, scripted, { limits, identity: { deaf: true } });
});
afterEach(() => {
  for (const client of clients.splice(0)) client.socket.terminate();
  for (const socket of sockets.splice(0)) socket.disconnect();
});
afterAll(async () => {
  await one.stop();
  await two.stop();
  await scripted.stop();
  await rig.stop();
});

async function connect(door: DoorName, server: AccountsServer = one, headers = {}): Promise<RawClient> {
  const client = new RawClient(door, server.port, { headers });
  clients.push(client);
  return client.welcomed();
}

async function connectAs(door: DoorName, token: string, server: AccountsServer = one): Promise<RawClient> {
  const client = await connect(door, server);
  expect((await client.request('authenticate', { token })).error).toBeUndefined();
  return client;
}

/** What a bot signs for a connection, by PROTOCOL.md. */
function signedProof(key: TestKey) {
  const headers = signedHeaders(key, 'AUTHENTICATE', '/ws');
  return {
    keyId: key.id,
    timestamp: Number(headers['x-api-timestamp']),
    nonce: headers['x-api-nonce']!,
    signature: headers['x-api-signature']!,
  };
}

function principals(server: AccountsServer): (string | null)[] {
  return [...server.hub.connections()].map((connection) => connection.principal?.userId ?? null);
}

describe.each<DoorName>(['plain', 'socketio'])('at the %s door', (door) => {
  it('a token says whose the connection is, and another token of the same user renews it', async () => {
    const grant = await rig.register(one.identity);
    const client = await connect(door);
    const reply = await client.request('authenticate', { token: grant.accessToken });
    expect(reply.result).toEqual({ userId: grant.user.id, scopes: ['read', 'trade'], expiresAt: grant.expiresAt });
    const again = await rig.login(one.identity, grant.user.email);
    expect((await client.request('authenticate', { token: again.accessToken })).error).toBeUndefined();
    expect(principals(one)).toContain(grant.user.id);
    await client.end();
    await until(() => !principals(one).includes(grant.user.id), 'the connection is forgotten');
    expect([...one.hub.authenticator!.connectionsOf(grant.user.id)]).toEqual([]);
  });

  it.each<[string, unknown]>([
    ['nothing', {}],
    ['a list', []],
    ['two proofs at once', { token: 'a', ticket: 'b' }],
    ['more than the proof', { token: 'a', userId: 'b' }],
    ['a token that is no text', { token: { $ne: '' } }],
    ['an endless token', { token: 'a'.repeat(5_000) }],
    ['half a signature', { signed: { keyId: 'k' } }],
    [
      'a signature with a text for a time',
      { signed: { keyId: 'k', timestamp: '1', nonce: 'n'.repeat(8), signature: 's' } },
    ],
  ])('%s is not a request', async (_name, params) => {
    const client = await connect(door);
    expect((await client.request('authenticate', params)).error?.code).toBe('bad_request');
  });

  it('noise proves nothing, public streams go on, and whoever keeps guessing is closed', async () => {
    const client = await connect(door);
    for (let count = 0; count < 5; count++) {
      expect((await client.request('authenticate', { token: `guess.${count}.x` })).error?.code).toBe('unauthorized');
    }
    expect((await client.subscribe('ticker:binance:BTC/USDT')).result).toMatchObject([{ recovered: false }]);
    client.send('authenticate', { token: 'guess.6.x' });
    await until(() => client.closed !== null, 'the close');
    expect(client.events('closing')).toMatchObject([{ code: 3500, reason: 'unauthorized', reconnect: false }]);
  });

  it('a subscribe right behind it waits for the proof', async () => {
    const grant = await rig.register(one.identity);
    const client = await connect(door);
    const first = client.send('authenticate', { token: grant.accessToken });
    const second = client.send('list');
    await until(() => client.reply(second) !== undefined, 'the second reply');
    const order = client.log.flatMap((entry) => (entry.type === 'reply' ? [entry.id] : []));
    expect(order).toEqual([first, second]);
  });

  it('nobody becomes somebody else on a connection', async () => {
    const [ada, bob] = [await rig.register(one.identity), await rig.register(one.identity)];
    const client = await connectAs(door, ada.accessToken);
    expect((await client.request('authenticate', { token: bob.accessToken })).error?.code).toBe('forbidden');
    expect(principals(one)).toContain(ada.user.id);
    expect(principals(one)).not.toContain(bob.user.id);
  });

  it('a user has only so many connections, and the others are not harmed', async () => {
    const grant = await rig.register(one.identity);
    const held: RawClient[] = [];
    for (let count = 0; count < USER_CONNECTIONS; count++) held.push(await connectAs(door, grant.accessToken));
    const more = await connect(door);
    const { error } = await more.request('authenticate', { token: grant.accessToken });
    expect(error).toMatchObject({ code: 'connection_limit', temporary: true });
    for (const client of held) expect((await client.request('ping')).result).toBeDefined();
    await held[0]!.end();
    await until(() => principals(one).filter((each) => each === grant.user.id).length < USER_CONNECTIONS, 'room');
    expect((await more.request('authenticate', { token: grant.accessToken })).error).toBeUndefined();
  });

  it('a logout closes the sockets of that session on every node in time, also where no signal arrives', async () => {
    const grant = await rig.register(one.identity);
    const other = await rig.login(one.identity, grant.user.email);
    const here = await connectAs(door, grant.accessToken, one);
    const there = await connectAs(door, grant.accessToken, two);
    const kept = await connectAs(door, other.accessToken, two);
    expect((await one.call('POST', '/v1/auth/logout', { token: grant.accessToken })).status).toBe(204);
    const gone = () => here.closed !== null && there.closed !== null;
    await until(gone, 'both sockets are closed', REVOCATION_LIMIT_MS);
    expect(there.events('closing')).toMatchObject([{ code: 3500, reconnect: false }]);
    expect((await kept.request('ping')).result).toBeDefined();
    expect((await two.call('GET', '/v1/me', { token: grant.accessToken })).status).toBe(401);
  });

  it('a logout while the proof is under way leaves no socket behind', async () => {
    for (let round = 0; round < 10; round++) {
      const grant = await rig.register(one.identity);
      const client = await connect(door);
      const id = client.send('authenticate', { token: grant.accessToken });
      await one.call('POST', '/v1/auth/logout', { token: grant.accessToken });
      const ended = () => client.closed !== null || client.reply(id)?.error !== undefined;
      await until(ended, 'refused or closed', REVOCATION_LIMIT_MS);
    }
  });

  it('a ticket opens one socket, once, on whichever node', async () => {
    const grant = await rig.register(one.identity);
    const issue = async (): Promise<string> =>
      ((await one.call('POST', '/v1/auth/ticket', { token: grant.accessToken })).body as { ticket: string }).ticket;
    const ticket = await issue();
    const first = await connect(door, two);
    expect((await first.request('authenticate', { ticket })).result).toMatchObject({ userId: grant.user.id });
    for (const server of [one, two]) {
      const again = await connect(door, server);
      expect((await again.request('authenticate', { ticket })).error?.code).toBe('unauthorized');
    }
    const wrong = await connect(door);
    expect((await wrong.request('authenticate', { token: await issue() })).error?.code).toBe('unauthorized');
  });

  it('an API key signs for the connection, once, may do what its scopes say, and takes it along when it goes', async () => {
    const grant = await rig.register(one.identity);
    const key = await createKeyOver(one, grant.accessToken, rig.password, { scopes: ['read'] });
    const signed = signedProof(key);
    const client = await connect(door, two);
    const reply = await client.request('authenticate', { signed });
    expect(reply.result).toEqual({ userId: grant.user.id, scopes: ['read'], expiresAt: null });
    const other = await connect(door, one);
    expect((await other.request('authenticate', { signed })).error?.code).toBe('replayed');
    const forged = { ...signedProof(key), timestamp: signed.timestamp - 1 };
    expect((await other.request('authenticate', { signed: forged })).error?.code).toBe('invalid_signature');
    const refused = await client.request('order.cancel', { orderId: 'x' });
    expect(refused.error?.code).toBe('forbidden');
    const rows = () => rig.at.admin`select 1 from identity.audit_log
      where user_id = ${grant.user.id} and outcome = 'refused' and details ->> 'keyId' = ${key.id}
        and details ->> 'route' = 'order.cancel'`;
    await expect.poll(async () => (await rows()).length).toBe(1);
    expect((await one.call('DELETE', `/v1/auth/keys/${key.id}`, { token: grant.accessToken })).status).toBe(204);
    await until(() => client.closed !== null, 'the close', REVOCATION_LIMIT_MS);
    expect(client.events('closing')).toMatchObject([{ code: 3500 }]);
  });

  it('a refused proof is in the audit log, with the address that it came from', async () => {
    const ip = door === 'plain' ? '10.200.0.1' : '10.200.0.2';
    const client = await connect(door, one, { 'x-forwarded-for': ip });
    await client.request('authenticate', { token: 'a.b.c' });
    const rows = () => rig.at.admin`select details ->> 'code' as code from identity.audit_log where ip = ${ip}`;
    await expect.poll(async () => (await rows()).map(({ code }) => code)).toEqual(['unauthorized']);
  });

  it('neither a cookie nor the address of the handshake proves anything', async () => {
    const grant = await rig.register(one.identity);
    await connect(door, one, { cookie: `token=${grant.accessToken}`, authorization: `Bearer ${grant.accessToken}` });
    expect(principals(one)).not.toContain(grant.user.id);
    expect(JSON.stringify(scripted.logged)).not.toContain(grant.accessToken);
  });
});

describe('a token that expires', () => {
  let short: AccountsServer;
  beforeAll(async () => {
    short = await startAccountsServer(rig, scripted, { identity: { settings: { accessTokenMs: 2_000 } } });
  });
  afterAll(() => short.stop());

  it.each<DoorName>(['plain', 'socketio'])(
    'closes the connection at the %s door, unless it is renewed',
    async (door) => {
      const grant = await rig.register(short.identity);
      const client = await connectAs(door, grant.accessToken, short);
      const renewed = await connectAs(door, grant.accessToken, short);
      const renew = setInterval(() => {
        void rig
          .login(short.identity, grant.user.email)
          .then(({ accessToken }) => renewed.send('authenticate', { token: accessToken }));
      }, 500);
      const leftMs = Math.max(0, grant.expiresAt - Date.now());
      await until(() => client.closed !== null, 'the close', leftMs + EXPIRY_LIMIT_MS);
      expect(Date.now()).toBeGreaterThanOrEqual(grant.expiresAt);
      expect(client.events('closing')).toMatchObject([{ code: 3500 }]);
      clearInterval(renew);
      expect((await renewed.request('ping')).result).toBeDefined();
    },
  );
});

describe('the auth of a Socket.IO handshake', () => {
  const open = (auth: object): Socket => {
    const socket = io(one.url, { transports: ['websocket'], reconnection: false, forceNew: true, auth });
    sockets.push(socket);
    return socket;
  };
  const outcome = (socket: Socket): Promise<unknown> =>
    new Promise((resolve) => {
      socket.once('connect', () => resolve('connected'));
      socket.once('connect_error', (error) =>
        resolve((error as Error & { data?: { code: string } }).data?.code ?? error.message),
      );
    });

  it('with a token, opens a connection that is the user’s from its first message on', async () => {
    const grant = await rig.register(one.identity);
    const socket = open({ token: grant.accessToken });
    expect(await outcome(socket)).toBe('connected');
    expect(principals(one)).toContain(grant.user.id);
    expect(await one.call('POST', '/v1/auth/logout', { token: grant.accessToken })).toMatchObject({ status: 204 });
    await until(() => !socket.connected, 'the close', REVOCATION_LIMIT_MS);
  });

  it.each<[string, object, string]>([
    ['noise', { token: 'a.b.c' }, 'unauthorized'],
    ['more than the proof', { token: 'a.b.c', sid: 'x' }, 'bad_request'],
    ['two proofs', { token: 'a.b.c', ticket: 'x' }, 'bad_request'],
  ])('that is %s is refused before there is a connection', async (_name, auth, code) => {
    expect(await outcome(open(auth))).toBe(code);
    expect([...one.hub.connections()]).toEqual([]);
  });

  it('may be left out', async () => {
    expect(await outcome(open({}))).toBe('connected');
  });

  it.each([
    'null',
    '"text"',
    '["a"]',
    '7',
    '{',
    `{"token":"${'x'.repeat(15_000)}"}`,
    `${'{"a":'.repeat(2_000)}1${'}'.repeat(2_000)}`,
  ])('of a hostile form harms nobody (%#)', async (auth) => {
    const socket = new RawSocket(one.port);
    await socket.handshake('/socket.io/?EIO=4&transport=websocket');
    socket.write(clientFrame({ first: 0x81, payload: Buffer.from(`40${auth}`) }));
    await until(() => socket.closed || socket.frames().some(({ text }) => text.startsWith('44')), 'refused');
    socket.destroy();
    expect((await one.call('GET', '/v1/venues')).status).toBe(200);
  });
});
