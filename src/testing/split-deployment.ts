import { freePort } from './free-port.ts';
import { startNginx } from './nginx-process.ts';
import type { NginxProcess } from './nginx-process.ts';
import { startTestPostgres } from './postgres.ts';
import type { TestPostgres } from './postgres.ts';
import { startRedis } from './redis-process.ts';
import type { RedisProcess } from './redis-process.ts';
import { startServerProcess } from './server-process.ts';
import type { ServerProcess } from './server-process.ts';

/** Clients are sent away over a quarter of it. */
const SHUTDOWN_TIMEOUT_MS = 8_000;
const START_LIMIT_MS = 60_000;

export type NodeName = 'feed' | 'worker' | 'gateway-1' | 'gateway-2';
export type Readiness = Readonly<{ ready: boolean; bus: 'ok' | 'degraded' }>;
type Place = Readonly<{ role: string; port: number; opsPort: number }>;

/** The processes of the compose file's profile `split`, each on ports that it keeps through restarts. */
export class SplitDeployment {
  readonly redis: RedisProcess;
  readonly url: string;
  readonly #postgres: TestPostgres;
  readonly #nginx: NginxProcess;
  readonly #env: Readonly<Record<string, string>>;
  readonly #places: Readonly<Record<NodeName, Place>>;
  readonly #running = new Map<NodeName, ServerProcess>();

  private constructor(
    parts: Readonly<{
      redis: RedisProcess;
      postgres: TestPostgres;
      nginx: NginxProcess;
      env: Readonly<Record<string, string>>;
      places: Readonly<Record<NodeName, Place>>;
    }>,
  ) {
    this.redis = parts.redis;
    this.url = `http://127.0.0.1:${parts.nginx.port}`;
    this.#postgres = parts.postgres;
    this.#nginx = parts.nginx;
    this.#env = parts.env;
    this.#places = parts.places;
  }

  static async start(replayDir: string): Promise<SplitDeployment> {
    const [redis, postgres] = await Promise.all([startRedis(), startTestPostgres()]);
    const place = async (role: string): Promise<Place> => ({
      role,
      port: await freePort(),
      opsPort: await freePort(),
    });
    const places = {
      feed: await place('feed'),
      worker: await place('worker'),
      'gateway-1': await place('gateway'),
      'gateway-2': await place('gateway'),
    };
    const nginx = await startNginx(await freePort(), [places['gateway-1'].port, places['gateway-2'].port]);
    const env = {
      DATABASE_URL: await postgres.createEmptyDatabase(),
      REDIS_URL: redis.url,
      TOKEN_SECRET: 'mD5RkXo0s1vG7yQeTz3uJp9cWb2hNf8LxAi4EwKgUrY6',
      VENUES: 'binance',
      MARKET_DATA: 'recording',
      REPLAY_DIR: replayDir,
      REPLAY_LOOP: 'false',
      TRUST_PROXY: '127.0.0.1',
      SHUTDOWN_TIMEOUT_MS: String(SHUTDOWN_TIMEOUT_MS),
      PAPER_FUNDS: 'USDT:10000000',
      RATE_LIMIT_PER_MINUTE: '100000',
      RATE_LIMIT_TRADING_PER_MINUTE: '100000',
    };
    const deployment = new SplitDeployment({ redis, postgres, nginx, env, places });
    try {
      const migration = startServerProcess(env, ['db:migrate']);
      const { code } = await migration.exited;
      if (code !== 0) throw new Error(`db:migrate failed:\n${migration.text()}`);
      await Promise.all((Object.keys(places) as NodeName[]).map((name) => deployment.startNode(name)));
      return deployment;
    } catch (error) {
      await deployment.stop();
      throw error;
    }
  }

  async startNode(name: NodeName): Promise<void> {
    const { role, port, opsPort } = this.#places[name];
    const server = startServerProcess({
      ...this.#env,
      ROLES: role,
      PORT: String(port),
      OPS_PORT: String(opsPort),
    });
    this.#running.set(name, server);
    await server.event('tidewire ready', START_LIMIT_MS);
  }

  /** As an orderly stop of its container; answers its exit code. */
  async stopNode(name: NodeName): Promise<number | null> {
    const server = this.#running.get(name)!;
    server.kill('SIGTERM');
    return (await server.exited).code;
  }

  async killNode(name: NodeName): Promise<void> {
    const server = this.#running.get(name)!;
    server.kill('SIGKILL');
    await server.exited;
  }

  get complaints(): string {
    return this.#nginx.text();
  }

  /** All that a process has logged since it was started last. */
  logOf(name: NodeName): string {
    return this.#running.get(name)!.text();
  }

  async readiness(name: NodeName): Promise<Readiness> {
    return (await (await this.#ops(name, '/ready')).json()) as Readiness;
  }

  /** Sum over all label sets of one metric. */
  async metric(name: NodeName, metric: string): Promise<number> {
    const text = await (await this.#ops(name, '/metrics')).text();
    const rows = text.matchAll(new RegExp(`^${metric}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'));
    return [...rows].reduce((sum, [, value]) => sum + Number(value), 0);
  }

  async stop(): Promise<void> {
    this.redis.thaw();
    for (const server of this.#running.values()) server.kill('SIGKILL');
    await Promise.all([...this.#running.values()].map((server) => server.exited));
    await this.#nginx.stop();
    await this.redis.kill();
    await this.#postgres.stop();
  }

  #ops(name: NodeName, path: string): Promise<Response> {
    return fetch(`http://127.0.0.1:${this.#places[name].opsPort}${path}`);
  }
}
