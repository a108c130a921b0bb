import type { MethodParams, TradingMethodName, TradingResult } from '../protocol/methods.ts';
import { ClientError, refusalError } from './client-error.ts';
import type { RequestReply } from './transport.ts';

/** Commands that wait for their answer, or for a connection to be sent on; one more is refused. */
const COMMANDS_LIMIT = 256;
const DEFAULT_TIMEOUT_MS = 15_000;

export type CommandOptions = Readonly<{
  /** Milliseconds until the promise is given up, default 15,000. The command itself may still happen. */
  timeoutMs?: number;
}>;
export type CommandsDeps = Readonly<{
  /** Connected, and proved to be somebody. */
  ready(): boolean;
  /** False: not now; ask again after `waitMs`. */
  request(method: TradingMethodName, params: unknown, onReply: (reply: RequestReply) => void): boolean;
  waitMs(): number;
}>;

type Pending = {
  readonly method: TradingMethodName;
  readonly params: unknown;
  readonly resolve: (result: never) => void;
  readonly reject: (error: ClientError) => void;
  readonly timer: ReturnType<typeof setTimeout>;
  sent: boolean;
};

/**
 * Order commands on their way. What the connection took with it when it broke is sent again on the next one: each command
 * carries a key or may be repeated without one, so that it happens once.
 */
export class Commands {
  readonly #deps: CommandsDeps;
  readonly #pending = new Set<Pending>();
  #flushTimer: ReturnType<typeof setTimeout> | undefined;
  #ended: ClientError | null = null;

  constructor(deps: CommandsDeps) {
    this.#deps = deps;
  }

  call<M extends TradingMethodName>(
    method: M,
    params: MethodParams<M>,
    { timeoutMs = DEFAULT_TIMEOUT_MS }: CommandOptions = {},
  ): Promise<TradingResult<M>> {
    if (this.#ended !== null) return Promise.reject(this.#ended);
    if (this.#pending.size >= COMMANDS_LIMIT) {
      return Promise.reject(new ClientError('overloaded', `${COMMANDS_LIMIT} commands wait already`));
    }
    return new Promise((resolve, reject) => {
      const pending: Pending = {
        method,
        params,
        resolve,
        reject,
        timer: setTimeout(() => this.#giveUp(pending, timeoutMs), timeoutMs),
        sent: false,
      };
      this.#pending.add(pending);
      this.flush();
    });
  }

  /** Sends what has not been sent, as far as the server's rate allows. */
  flush(): void {
    clearTimeout(this.#flushTimer);
    if (!this.#deps.ready()) return;
    for (const pending of this.#pending) {
      if (pending.sent) continue;
      pending.sent = this.#deps.request(pending.method, pending.params, (reply) => this.#take(pending, reply));
      if (pending.sent) continue;
      this.#flushTimer = setTimeout(() => this.flush(), Math.max(1, this.#deps.waitMs()));
      return;
    }
  }

  /** No answer comes on the connection that has ended. */
  disconnected(): void {
    clearTimeout(this.#flushTimer);
    for (const pending of this.#pending) pending.sent = false;
  }

  /** Nothing can be sent any more. */
  end(error: ClientError): void {
    this.#ended = error;
    clearTimeout(this.#flushTimer);
    for (const pending of this.#pending) this.#settle(pending, () => pending.reject(error));
  }

  #take(pending: Pending, reply: RequestReply): void {
    // Nothing was done, and this connection is about to end: the next one carries it, unless its time is up before.
    if (!reply.ok && reply.error.code === 'draining') return;
    this.#settle(pending, () =>
      reply.ok ? pending.resolve(reply.result as never) : pending.reject(refusalError(reply.error)),
    );
  }

  #giveUp(pending: Pending, timeoutMs: number): void {
    const fate = pending.sent ? 'whether it happened is not known: ask again with the same key' : 'it was not sent';
    this.#settle(pending, () =>
      pending.reject(new ClientError('timeout', `no answer to ${pending.method} in ${timeoutMs} ms; ${fate}`)),
    );
  }

  #settle(pending: Pending, settle: () => void): void {
    if (!this.#pending.delete(pending)) return;
    clearTimeout(pending.timer);
    settle();
  }
}
