import type { z } from 'zod';
import { ImpossibleError } from '../../kernel/assert.ts';
import { databaseFailureIn } from '../../platform/postgres-failure.ts';
import type { ErrorCode } from '../../protocol/errors.ts';
import { wireError } from '../../protocol/errors.ts';
import { METHODS } from '../../protocol/methods.ts';
import type { MethodName } from '../../protocol/methods.ts';
import type { Connection } from './connection.ts';
import type { HubContext } from './hub-context.ts';
import { nestsDeeperThan } from './json-depth.ts';
import type { Deferred, MethodOutcome, Methods } from './methods.ts';
import type { ReplyAddress } from './wire.ts';

/** No request of ours needs more than 4; V8 parses any depth, but code that walks values usually recurses. */
const NESTING_LIMIT = 16;
/** Requests of one connection that wait or run; at 20 a second and at most 5 s each, an honest client stays below. */
const REQUESTS_LIMIT = 64;

/** What a door made of one inbound message. */
export type Inbound = Readonly<
  | { ok: true; address: ReplyAddress; method: string; params: unknown }
  | { ok: false; address: ReplyAddress; problem: string }
>;

type Call = Readonly<{ address: ReplyAddress; method: MethodName; start: () => MethodOutcome | Deferred }>;

/** These run one after the other on a connection: an unsubscribe must not overtake a subscribe that waits for a cold stream, nor a subscribe the proof of whose it is. */
const IN_TURN: ReadonlySet<MethodName> = new Set(['subscribe', 'unsubscribe', 'list', 'authenticate']);

/**
 * The one way in for every message, through either door: rate, shape, depth, closed method list, schema, and nothing that
 * a handler throws gets past.
 */
export class RequestIntake {
  readonly #context: HubContext;
  readonly #methods: Methods;

  constructor(context: HubContext, methods: Methods) {
    this.#context = context;
    this.#methods = methods;
  }

  /** `read` must not throw. */
  receive(connection: Connection, read: () => Inbound): void {
    if (!connection.isOpen) return;
    const admittance = connection.guard.admit(this.#context.clock.monotonic());
    if (admittance === 'abuse') return connection.close('abuse');
    const inbound = read();
    const { address } = inbound;
    const method = inbound.ok ? inbound.method : '';
    const refuse = (code: ErrorCode, why?: string): void => this.#refuse(connection, address, method, code, why);
    if (admittance === 'refused') return refuse('rate_limited');
    if (!inbound.ok) return refuse('bad_request', inbound.problem);
    if (!isMethod(method)) return refuse('unknown_method');
    if (nestsDeeperThan(inbound.params, NESTING_LIMIT)) {
      return refuse('bad_request', `nested deeper than ${NESTING_LIMIT} levels`);
    }
    const parsed = METHODS[method].safeParse(inbound.params);
    if (!parsed.success) return refuse('bad_request', problemOf(parsed.error));
    if (connection.inFlight >= REQUESTS_LIMIT) return refuse('rate_limited');
    const params = parsed.data as never;
    this.#run(connection, { address, method, start: () => this.#methods[method](connection, params) });
  }

  #run(connection: Connection, call: Call): void {
    connection.beginRequest();
    const inTurn = IN_TURN.has(call.method);
    const before = inTurn ? connection.turn : null;
    const start: Deferred | null =
      before === null ? this.#attempt(connection, call, call.start) : { until: before, finish: call.start };
    if (start === null) return connection.endRequest();
    const turn = this.#follow(connection, call, start).finally(() => {
      if (connection.turn === turn) connection.turn = null;
    });
    if (inTurn) connection.turn = turn;
  }

  async #follow(connection: Connection, call: Call, start: Deferred): Promise<void> {
    try {
      for (let next: Deferred | null = start; next !== null;) {
        await next.until;
        next = this.#attempt(connection, call, next.finish);
      }
    } finally {
      connection.endRequest();
    }
  }

  /** One step of a request. Answers it, unless the method wants to wait. */
  #attempt(connection: Connection, call: Call, step: () => MethodOutcome | Deferred): Deferred | null {
    try {
      const outcome = step();
      if ('until' in outcome) return outcome;
      this.#answer(connection, call, outcome);
    } catch (error) {
      if (error instanceof ImpossibleError) throw error;
      this.#context.log.error({
        event: 'request_failed',
        connectionId: connection.id,
        method: call.method,
        err: error,
      });
      this.#refuse(connection, call.address, call.method, failureCode(error));
    }
    return null;
  }

  #answer(connection: Connection, { address, method }: Call, outcome: MethodOutcome): void {
    this.#context.metrics.request(method, outcome.ok ? 'ok' : outcome.error.code);
    connection.reply(address, outcome.ok ? { result: outcome.result } : { error: outcome.error });
    // The reply leaves first, then what it announces, then whatever is live: all in one synchronous step.
    connection.delivery.catchUp(this.#context.clock.monotonic());
  }

  #refuse(connection: Connection, address: ReplyAddress, method: string, code: ErrorCode, why?: string): void {
    const { metrics, clock } = this.#context;
    metrics.request(method, code);
    const retryAfterMs = code === 'rate_limited' ? connection.guard.retryAfterMs(clock.monotonic()) : undefined;
    connection.reply(address, { error: wireError(code, why, retryAfterMs) });
  }
}

/** What the client can do about a failure of ours; the rest of it stays here. */
function failureCode(error: unknown): ErrorCode {
  const kind = databaseFailureIn(error)?.kind;
  if (kind === undefined || kind === 'outcome_unknown') return 'internal';
  return kind === 'conflict' ? 'conflict' : 'overloaded';
}

function isMethod(name: string): name is MethodName {
  return Object.hasOwn(METHODS, name);
}

/** The first problem and where it is; never the value, which is the client's and may be anything. */
function problemOf(error: z.ZodError): string {
  const issue = error.issues[0];
  const path = ['params', ...(issue?.path ?? [])].map(String).join('.');
  return `${path.slice(0, 100)}: ${(issue?.message ?? 'not valid').slice(0, 200)}`;
}
