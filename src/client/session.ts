import { backoffDelayMs } from '../kernel/backoff.ts';
import type { BackoffPolicy } from '../kernel/backoff.ts';
import type { Random } from '../kernel/random.ts';
import type { Authenticated, AuthenticateRequest } from '../protocol/messages.ts';
import { ClientError, refusalError } from './client-error.ts';
import type { RequestReply } from './transport.ts';

/** Renewed when this share of its time is over: a clock that is off by a little must not cost the connection. */
const RENEW_SHARE = 0.7;
const RENEW_LEAST_MS = 1_000;
const RETRY: BackoffPolicy = { baseMs: 500, maxMs: 30_000, factor: 2, jitter: 0.5 };
/** Refusals in a row that cannot be temporary; the server closes the connection after one more. */
const REFUSALS_LIMIT = 4;

/** Answers a credential that is good now: asked on each new connection, and again before the last one ends. May throw. */
export type CredentialProvider = () => AuthenticateRequest | Promise<AuthenticateRequest>;
/** `none`: nobody has asked for it. `refused`: the provider's credentials are not accepted, and nothing more is tried. */
export type SessionStatus = 'none' | 'proving' | 'proved' | 'refused';

export type SessionDeps = Readonly<{
  provide: CredentialProvider;
  /** False: the connection cannot take a request now; ask again after `waitMs`. */
  request(credentials: AuthenticateRequest, onReply: (reply: RequestReply) => void): boolean;
  waitMs(): number;
  now(): number;
  random: Random;
  onProved(session: Authenticated): void;
  onRefused(error: ClientError): void;
  onError(error: ClientError): void;
}>;

/** Whose connection it is: proved on each new connection and renewed while it lasts. */
export class Session {
  readonly #deps: SessionDeps;
  #status: SessionStatus = 'none';
  #connected = false;
  #failures = 0;
  #refusals = 0;
  /** Of the attempt whose answer counts; whatever belongs to an older one is late. */
  #attempt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(deps: SessionDeps) {
    this.#deps = deps;
  }

  get status(): SessionStatus {
    return this.#status;
  }

  connected(): void {
    this.#connected = true;
    if (this.#status === 'refused') return;
    this.#status = 'proving';
    void this.#prove();
  }

  disconnected(): void {
    this.#connected = false;
    this.#attempt += 1;
    clearTimeout(this.#timer);
    if (this.#status !== 'refused') this.#status = 'none';
  }

  async #prove(): Promise<void> {
    this.#attempt += 1;
    const attempt = this.#attempt;
    clearTimeout(this.#timer);
    let credentials: AuthenticateRequest;
    try {
      credentials = await this.#deps.provide();
    } catch (cause) {
      if (attempt !== this.#attempt) return;
      this.#deps.onError(new ClientError('unauthorized', 'the provider of credentials threw', { cause }));
      return this.#later(backoffDelayMs(RETRY, this.#failures++, this.#deps.random));
    }
    if (attempt === this.#attempt) this.#send(credentials, attempt);
  }

  #send(credentials: AuthenticateRequest, attempt: number): void {
    if (!this.#connected) return;
    const sent = this.#deps.request(credentials, (reply) => {
      if (attempt === this.#attempt) this.#take(reply);
    });
    if (!sent) this.#timer = setTimeout(() => this.#send(credentials, attempt), Math.max(1, this.#deps.waitMs()));
  }

  #take(reply: RequestReply): void {
    if (!reply.ok) return this.#refused(refusalError(reply.error), reply.error.temporary, reply.error.retryAfterMs);
    this.#failures = 0;
    this.#refusals = 0;
    this.#status = 'proved';
    const session = reply.result as Authenticated;
    const leftMs = session.expiresAt === null ? null : session.expiresAt - this.#deps.now();
    if (leftMs !== null) this.#later(Math.max(RENEW_LEAST_MS, leftMs * RENEW_SHARE));
    this.#deps.onProved(session);
  }

  #refused(error: ClientError, temporary: boolean, retryAfterMs = 0): void {
    this.#deps.onError(error);
    if (!temporary) this.#refusals += 1;
    if (this.#refusals >= REFUSALS_LIMIT) {
      this.#status = 'refused';
      return this.#deps.onRefused(error);
    }
    this.#later(Math.max(retryAfterMs, backoffDelayMs(RETRY, this.#failures++, this.#deps.random)));
  }

  #later(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#prove(), delayMs);
  }
}
