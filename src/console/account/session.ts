import type { SessionGrant, User } from '../../protocol/accounts.ts';
import { RestFailure, requestJson } from '../rest.ts';
import type { RestRequest } from '../rest.ts';
import { createStore } from '../store.ts';
import type { Store } from '../store.ts';

/** A token that ends sooner than this is renewed before it is used. */
const RENEW_BEFORE_MS = 60_000;
const DEAD_TOKEN: ReadonlySet<string> = new Set(['token_expired', 'unauthorized']);
const STORED_AS = 'tidewire.session';
/** Tells the server that this device has logged in before, so that strangers who guess cannot lock its owner out. No credential. */
const DEVICE_STORED_AS = 'tidewire.device';

export type SessionState = Readonly<{ status: 'out'; reason: string | null }> | Readonly<{ status: 'in'; user: User }>;

export type Credentials = Readonly<{ email: string; password: string; code?: string }>;

type Grant = Pick<SessionGrant, 'user' | 'accessToken' | 'refreshToken' | 'expiresAt'>;

/**
 * Whose page this is.
 *
 * Tokens live in memory. They are written to sessionStorage when the page is left and taken out when it is shown, so that a
 * reload keeps the session, while a tab that is duplicated does not share the refresh token: used twice, it would end the
 * session. A script that got onto the page could read either place, as it could use any cookie; the page's policy (no inline
 * script, nothing from elsewhere) and the rule that remote text only ever becomes text are what keep it out.
 */
export class Session {
  readonly state: Store<SessionState> = createStore<SessionState>({ status: 'out', reason: null });
  readonly #storage: Storage;
  readonly #devices: Storage;
  #grant: Grant | null = null;
  #renewal: Promise<Grant> | null = null;

  /** Takes up the session that the page was left with. */
  constructor(storage: Storage, devices: Storage) {
    this.#storage = storage;
    this.#devices = devices;
    this.#resume();
    addEventListener('pagehide', () => {
      if (this.#grant) storage.setItem(STORED_AS, JSON.stringify(this.#grant));
    });
    addEventListener('pageshow', () => this.#resume());
  }

  register(credentials: Credentials): Promise<void> {
    return this.#enter('/v1/auth/register', credentials);
  }

  /** Rejects with the code `second_factor_required` when `code` is missing. */
  login(credentials: Credentials): Promise<void> {
    return this.#enter('/v1/auth/login', credentials);
  }

  async logout(): Promise<void> {
    try {
      await this.request('/v1/auth/logout', { method: 'POST' });
    } finally {
      this.#end('You are logged out');
    }
  }

  /** An access token that is good for a while. Rejects when nobody is logged in any more. */
  async token(): Promise<string> {
    const grant = this.#grant;
    if (grant && grant.expiresAt - Date.now() > RENEW_BEFORE_MS) return grant.accessToken;
    return (await this.#renew()).accessToken;
  }

  /** A request in the user's name. */
  async request<T>(path: string, request: RestRequest = {}): Promise<T> {
    try {
      return await this.#send<T>(path, request);
    } catch (error) {
      if (!(error instanceof RestFailure) || !DEAD_TOKEN.has(error.code)) throw error;
      // Expired early, or the session is over: only the refresh token can tell.
      await this.#renew();
      return this.#send<T>(path, request);
    }
  }

  /** Asks the server who this is: after a change to the user's settings, or where the session may have been ended elsewhere. */
  async reloadUser(): Promise<void> {
    const user = await this.request<User>('/v1/me');
    if (!this.#grant) return;
    this.#grant = { ...this.#grant, user };
    this.state.set({ status: 'in', user });
  }

  async #send<T>(path: string, request: RestRequest): Promise<T> {
    const headers = { ...request.headers, authorization: `Bearer ${await this.token()}` };
    return requestJson<T>(path, { ...request, headers });
  }

  async #enter(path: string, credentials: Credentials): Promise<void> {
    const device = this.#devices.getItem(DEVICE_STORED_AS);
    const headers = device === null ? {} : { 'x-device-token': device };
    this.#take(await requestJson<SessionGrant>(path, { method: 'POST', body: credentials, headers }));
  }

  /** One at a time: a refresh token works once. */
  async #renew(): Promise<Grant> {
    this.#renewal ??= this.#askForRenewal().finally(() => {
      this.#renewal = null;
    });
    return this.#renewal;
  }

  async #askForRenewal(): Promise<Grant> {
    if (!this.#grant) throw new RestFailure('unauthorized', 'Nobody is logged in', 401);
    const { refreshToken } = this.#grant;
    try {
      return this.#take(
        await requestJson<SessionGrant>('/v1/auth/refresh', { method: 'POST', body: { refreshToken } }),
      );
    } catch (error) {
      if (error instanceof RestFailure && error.status === 401) this.#end('The session has ended; log in again');
      throw error;
    }
  }

  #take(given: SessionGrant): Grant {
    if (given.deviceToken !== undefined) this.#devices.setItem(DEVICE_STORED_AS, given.deviceToken);
    const { user, accessToken, refreshToken, expiresAt } = given;
    this.#grant = { user, accessToken, refreshToken, expiresAt };
    this.state.set({ status: 'in', user });
    return this.#grant;
  }

  #end(reason: string): void {
    this.#grant = null;
    this.#storage.removeItem(STORED_AS);
    if (this.state.get().status === 'in') this.state.set({ status: 'out', reason });
  }

  #resume(): void {
    const text = this.#storage.getItem(STORED_AS);
    this.#storage.removeItem(STORED_AS);
    if (text === null || this.#grant) return;
    this.#grant = JSON.parse(text) as Grant;
    this.state.set({ status: 'in', user: this.#grant.user });
  }
}
