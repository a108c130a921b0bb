import { beforeEach, describe, expect, it, vi } from 'vitest';
import { RestFailure } from '../rest.ts';
import { Session } from './session.ts';

const USER = { id: 'u1', email: 'ada@example.com', roles: ['user'], totp: false, createdAt: 0 };
const LONG_MS = 600_000;

/** What the server would say, by path; a function may look at what was sent. */
type Answer = Readonly<{ status: number; body: unknown }>;
let answers: Record<string, (init: RequestInit) => Answer>;
let asked: string[];
let listeners: Record<string, () => void>;
let renewals: number;

class MemoryStorage {
  readonly #items = new Map<string, string>();
  get length(): number {
    return this.#items.size;
  }
  key(): null {
    return null;
  }
  clear(): void {
    this.#items.clear();
  }
  getItem(name: string): string | null {
    return this.#items.get(name) ?? null;
  }
  setItem(name: string, value: string): void {
    this.#items.set(name, value);
  }
  removeItem(name: string): void {
    this.#items.delete(name);
  }
}
let storage: MemoryStorage;
let devices: MemoryStorage;

function grant(number: number, leftMs = LONG_MS): Answer {
  const tokens = { accessToken: `access${number}`, refreshToken: `refresh${number}`, expiresAt: Date.now() + leftMs };
  return { status: 200, body: { user: USER, ...tokens, deviceToken: 'device1' } };
}
const problem = (status: number, code: string): Answer => ({ status, body: { code, title: code } });
const tokenIn = (init: RequestInit): string => new Headers(init.headers).get('authorization') ?? '';
const leavePage = (): void => listeners['pagehide']!();

beforeEach(() => {
  asked = [];
  listeners = {};
  renewals = 1;
  storage = new MemoryStorage();
  devices = new MemoryStorage();
  answers = {
    '/v1/auth/login': () => grant(1),
    '/v1/auth/refresh': () => grant((renewals += 1)),
    '/v1/me': () => ({ status: 200, body: USER }),
  };
  vi.stubGlobal('addEventListener', (name: string, listener: () => void) => void (listeners[name] = listener));
  vi.stubGlobal('fetch', async (path: string, init: RequestInit) => {
    asked.push(path);
    await Promise.resolve();
    const { status, body } = answers[path]!(init);
    return Response.json(body, { status });
  });
  return () => vi.unstubAllGlobals();
});

async function loggedIn(): Promise<Session> {
  const session = new Session(storage, devices);
  await session.login({ email: 'ada@example.com', password: 'secret' });
  return session;
}

describe('a session', () => {
  it('survives a reload, and is nowhere in storage while the page is shown', async () => {
    const before = await loggedIn();
    expect(storage.length).toBe(0);
    leavePage();
    expect(storage.length).toBe(1);
    const after = new Session(storage, devices);
    expect(after.state.get()).toEqual({ status: 'in', user: USER });
    expect(storage.length).toBe(0);
    expect(await after.token()).toBe(await before.token());
  });

  it('is not shared with a tab that was duplicated: a refresh token used twice would end it', async () => {
    await loggedIn();
    expect(new Session(storage, devices).state.get().status).toBe('out');
  });

  it('renews once, however many ask at the same time', async () => {
    answers['/v1/auth/login'] = () => grant(1, 1_000);
    const session = await loggedIn();
    const tokens = await Promise.all([session.token(), session.token(), session.request('/v1/me').then(() => 'done')]);
    expect(tokens).toEqual(['access2', 'access2', 'done']);
    expect(asked.filter((path) => path === '/v1/auth/refresh')).toHaveLength(1);
  });

  it('renews and asks again when the server no longer takes the token, without the user noticing', async () => {
    answers['/v1/me'] = (init) =>
      tokenIn(init) === 'Bearer access2' ? { status: 200, body: USER } : problem(401, 'token_expired');
    const session = await loggedIn();
    expect(await session.request('/v1/me')).toEqual(USER);
    expect(session.state.get().status).toBe('in');
  });

  it('that was ended elsewhere ends here too, with the reason', async () => {
    answers['/v1/me'] = () => problem(401, 'unauthorized');
    answers['/v1/auth/refresh'] = () => problem(401, 'unauthorized');
    const session = await loggedIn();
    await expect(session.request('/v1/me')).rejects.toBeInstanceOf(RestFailure);
    expect(session.state.get()).toEqual({ status: 'out', reason: 'The session has ended; log in again' });
    leavePage();
    expect(storage.length).toBe(0);
  });

  it('is not ended by a network that fails, nor by a code that is wrong', async () => {
    const session = await loggedIn();
    answers['/v1/me'] = () => problem(401, 'invalid_code');
    await expect(session.request('/v1/me')).rejects.toMatchObject({ code: 'invalid_code' });
    expect(asked).not.toContain('/v1/auth/refresh');
    vi.stubGlobal('fetch', () => Promise.reject(new TypeError('failed')));
    await expect(session.request('/v1/me')).rejects.toMatchObject({ code: 'unreachable' });
    expect(session.state.get().status).toBe('in');
  });

  it('is not ended when it cannot be renewed because nobody answers', async () => {
    answers['/v1/auth/login'] = () => grant(1, 1_000);
    const session = await loggedIn();
    answers['/v1/auth/refresh'] = () => problem(503, 'draining');
    await expect(session.token()).rejects.toMatchObject({ code: 'draining' });
    expect(session.state.get().status).toBe('in');
    answers['/v1/auth/refresh'] = () => grant(2);
    expect(await session.token()).toBe('access2');
  });

  it('leaves even where the server cannot be told', async () => {
    const session = await loggedIn();
    vi.stubGlobal('fetch', () => Promise.reject(new TypeError('failed')));
    await expect(session.logout()).rejects.toMatchObject({ code: 'unreachable' });
    expect(session.state.get().status).toBe('out');
  });
});
