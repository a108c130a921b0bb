import { startEmbeddedPostgres } from './postgres-embedded.ts';
import type { EmbeddedPostgres } from './postgres-embedded.ts';
import { openLane } from './postgres-lane.ts';
import type { Log } from './log.ts';
import type { DatabaseRole } from './postgres.ts';

/** The server that `DATABASE_URL` names, or the embedded one in `DATA_DIR` when it names none. */
export type PostgresServer = Readonly<{
  /** For `migrate`. */
  adminUrl: string;
  /** For `openDatabase` with role `app_rw`. */
  appUrl: string;
  /** For `migrate`: set when the roles log in by themselves. */
  rolePassword?: (role: DatabaseRole) => string;
  /** Leaves a server alone that is not ours to stop. Call it after every database on it was stopped. */
  stop(): Promise<void>;
}>;

export type ServerOptions = Readonly<{
  databaseUrl: string | null;
  dataDir: string;
  log: Log;
  /**
   * `own`: the serving process; it also ends a server that an earlier process left behind.
   * `visit`: a command beside it; it leaves running what was running, and what others use by then.
   */
  lease: 'own' | 'visit';
}>;

const CONNECT_TIMEOUT_SECONDS = 5;

export async function startPostgres(options: ServerOptions): Promise<PostgresServer> {
  const { databaseUrl, dataDir, log, lease } = options;
  if (databaseUrl !== null) return { adminUrl: databaseUrl, appUrl: databaseUrl, stop: async () => {} };
  const embedded = await startEmbeddedPostgres({ dataDir, log });
  return {
    adminUrl: embedded.adminUrl(),
    appUrl: embedded.roleUrl('app_rw'),
    rolePassword: embedded.rolePassword,
    async stop() {
      if (lease === 'visit' && (embedded.reused || (await isUsedByOthers(embedded, log)))) return;
      await embedded.stop();
    },
  };
}

async function isUsedByOthers(embedded: EmbeddedPostgres, log: Log): Promise<boolean> {
  const lane = await openLane(
    { url: embedded.adminUrl(), settings: {}, connectTimeoutSeconds: CONNECT_TIMEOUT_SECONDS, log },
    0,
  );
  try {
    const { rows } = await lane.execute(
      `select count(*) as others from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()`,
      [],
    );
    return Number(rows[0]!.others) > 0;
  } finally {
    lane.destroy();
  }
}
