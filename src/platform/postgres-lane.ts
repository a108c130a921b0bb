import { drizzle } from 'drizzle-orm/postgres-js';
import type { PostgresJsDatabase } from 'drizzle-orm/postgres-js';
import postgres from 'postgres';
import type { Log } from './log.ts';

export const PostgresError = postgres.PostgresError;
export type PostgresError = InstanceType<typeof PostgresError>;

/** Rows as the driver gives them: numeric and bigint as text, null as null. */
export type Row = Readonly<Record<string, unknown>>;
export type Answer = Readonly<{ rows: readonly Row[]; command: string }>;
/** Drizzle over one connection. Its own `transaction` is out of reach: see `Lane`. */
export type Queries = Omit<PostgresJsDatabase, 'transaction' | '$client'>;

/**
 * One connection, used by one caller at a time and thrown away for good when it breaks.
 *
 * postgres.js 3.4 reconnects behind the caller's back. The tail of a transaction whose backend died then runs on a fresh
 * connection, outside any transaction, and commits alone; and a statement written at the moment of the break can leave a
 * connection that never sends again. So each lane is a client of its own with a single connection, and once that connection
 * has closed, the lane refuses every further statement instead of letting the driver open another.
 */
export type Lane = Readonly<{
  queries: Queries;
  /** Server process of this connection. */
  backendPid: number;
  openedMs: number;
  broken(): boolean;
  /** A prepared statement with text parameters; each text is planned once per connection. */
  execute(text: string, parameters: readonly unknown[]): Promise<Answer>;
  /** One message of one or more statements without parameters; the server runs it as a whole. */
  executeScript(text: string): Promise<Answer>;
  /** Ends the connection at once; whatever is under way is rejected. */
  destroy(): void;
}>;

export type LaneOptions = Readonly<{
  url: string;
  /** Sent when connecting, as session settings. */
  settings: Readonly<Record<string, string>>;
  connectTimeoutSeconds: number;
  log: Log;
}>;

class ConnectionGone extends Error {
  override name = 'ConnectionGone';
  readonly code = 'CONNECTION_GONE';
}

type Client = ReturnType<typeof postgres>;
type LaneState = { broken: boolean; busy: boolean };

/** Connects; rejects when the server does not let us in within twice the connect timeout. */
export async function openLane(options: LaneOptions, nowMs: number): Promise<Lane> {
  const state: LaneState = { broken: false, busy: false };
  const client = connectClient(options, state);
  const destroy = () => {
    state.broken = true;
    client.end({ timeout: 0 }).catch((error: unknown) => options.log.debug({ event: 'postgres_end_failed', error }));
  };
  const guarded = guardClient(client, state);
  // The driver's own limit ends with the handshake; a server that freezes right after it would hold us for ever.
  const timer = setTimeout(destroy, options.connectTimeoutSeconds * 2_000);
  try {
    const [first] = await client.unsafe('select pg_backend_pid() as pid', [], { prepare: true });
    return {
      queries: drizzle(guarded),
      backendPid: Number(first!.pid),
      openedMs: nowMs,
      broken: () => state.broken,
      execute: async (text, parameters) =>
        answerOf(await guarded.unsafe(text, parameters as string[], { prepare: true })),
      executeScript: async (text) => answerOf(await guarded.unsafe(text).simple()),
      destroy,
    };
  } catch (error) {
    destroy();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function connectClient(options: LaneOptions, state: LaneState): Client {
  // One statement at a time: behind a statement that waits for a lock, others would wait that have nothing to do with it.
  // The driver reads this option, its types do not know it.
  const unpipelined = { max_pipeline: 0 };
  return postgres(options.url, {
    ...unpipelined,
    max: 1,
    fetch_types: false,
    // Left to itself the driver ends old connections and then keeps queries for them for ever; the pool retires lanes instead.
    max_lifetime: null,
    idle_timeout: 0,
    connect_timeout: options.connectTimeoutSeconds,
    connection: options.settings,
    onnotice: (notice) => options.log.debug({ event: 'postgres_notice', code: notice.code, message: notice.message }),
    onclose: () => {
      state.broken = true;
    },
  });
}

function answerOf(result: readonly Row[] & { command?: string }): Answer {
  return { rows: result, command: result.command ?? '' };
}

/** What the driver itself calls when a statement ends; its types do not show them. */
type Ending = { resolve: (result: unknown) => void; reject: (error: unknown) => void };

/**
 * Stands between everybody and the driver. A statement is refused once the connection is gone, and while another one is under
 * way: the driver would keep it waiting and, should the connection break meanwhile, send it over the next one.
 * A broken socket rejects its statement first and closes a moment later; so the rejection itself already marks the lane, before
 * the caller can hear of it. A statement that is handed over after that look arrives in the same turn of the event loop.
 */
function guardClient(client: Client, state: LaneState): Client {
  const guarded = {
    options: client.options,
    unsafe: (...words: Parameters<Client['unsafe']>) => {
      if (state.broken) throw new ConnectionGone('the connection of this statement is gone');
      if (state.busy) throw new Error('statements on one connection run one after the other; await each');
      state.busy = true;
      const query = client.unsafe(...words);
      const ending = query as unknown as Ending;
      const { resolve, reject } = ending;
      ending.resolve = (result) => {
        state.busy = false;
        resolve(result);
      };
      ending.reject = (error) => {
        state.busy = false;
        if (!(error instanceof PostgresError) || error.severity !== 'ERROR') state.broken = true;
        reject(error);
      };
      return query;
    },
    begin: () => {
      throw new Error('use Database.transaction: the driver goes on after a lost connection');
    },
  };
  // Drizzle uses these three members only.
  return guarded as unknown as Client;
}
