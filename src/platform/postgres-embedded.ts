import { createHmac, randomBytes } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import {
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { assert } from '../kernel/assert.ts';
import { findPostgresBinaries, runTool } from './postgres-binaries.ts';
import type { PostgresBinaries, RunAs } from './postgres-binaries.ts';
import type { Log } from './log.ts';

/**
 * A real Postgres from npm's binaries, run beside this process in a data folder of its own. It listens on loopback only, with
 * a password. The server is its own session: it outlives a `kill -9` of this process, and the next start finds and reuses it.
 */
export type EmbeddedPostgres = Readonly<{
  port: number;
  /** The server was running already, left by a process that could not stop it. */
  reused: boolean;
  /** Process id of the postmaster. */
  pid: number;
  /** Connection string of the superuser. */
  adminUrl(database?: string): string;
  /** Connection string of a login role that `provision` made with `rolePassword`. */
  roleUrl(role: string, database?: string): string;
  rolePassword(role: string): string;
  /** `immediate` is a crash as far as the data are concerned: nothing is flushed, the next start recovers. */
  stop(mode?: 'fast' | 'immediate'): Promise<void>;
}>;

export type EmbeddedOptions = Readonly<{
  /** Everything lies under `<dataDir>/pg`; made when absent. */
  dataDir: string;
  log: Log;
  /** 0 (default): any free port, chosen at each start. */
  port?: number;
  /** More server settings as `name=value`. */
  settings?: readonly string[];
  /** Only for clusters that may be thrown away: initdb does not wait for the disk. */
  disposable?: boolean;
  /** Other binaries than npm's, for tests against other versions. */
  binaries?: PostgresBinaries;
}>;

export const SUPERUSER = 'postgres';
const START_ATTEMPTS = 5;
const START_PAUSE_MS = 100;
const START_WAIT_SECONDS = 60;
const STOP_WAIT_SECONDS = 30;
/** A postmaster whose pid file says neither ready nor gone is recovering or stopping. */
const SETTLE_LIMIT_MS = 60_000;
const SETTLE_POLL_MS = 50;

const SETTINGS = [
  'listen_addresses=127.0.0.1',
  // Sockets would need a folder that every user of the machine can reach.
  'unix_socket_directories=',
  // One file per weekday, overwritten a week later: the log cannot outgrow the disk.
  'logging_collector=on',
  'log_directory=../log',
  'log_filename=postgres-%a.log',
  'log_truncate_on_rotation=on',
  'log_rotation_age=1440',
  'log_rotation_size=0',
];

type Place = Readonly<{ folder: string; cluster: string; binaries: PostgresBinaries; runAs: RunAs }>;

export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const place = openPlace(options);
  await checkReach(place);
  const secret = readSecret(place);
  await createCluster(place, secret, options.disposable === true);
  const running = await findRunning(place);
  if (running) {
    options.log.info({ event: 'postgres_reused', pid: running.pid, port: running.port });
    return describe(place, secret, { ...running, reused: true });
  }
  const started = await startServer(place, options);
  options.log.info({ event: 'postgres_started', pid: started.pid, port: started.port, folder: place.folder });
  return describe(place, secret, { ...started, reused: false });
}

function openPlace(options: EmbeddedOptions): Place {
  const folder = resolve(options.dataDir, 'pg');
  const cluster = join(folder, 'cluster');
  mkdirSync(resolve(options.dataDir), { recursive: true });
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const runAs = decideRunAs(cluster);
  if (runAs) chownSync(folder, runAs.uid, runAs.gid);
  return { folder, cluster, binaries: options.binaries ?? findPostgresBinaries(), runAs };
}

/** Postgres refuses to run as root; then the owner of the data runs it, or the user `postgres`, which is made when absent. */
function decideRunAs(cluster: string): RunAs {
  const uid = process.getuid?.();
  const owner = statSync(cluster, { throwIfNoEntry: false });
  if (uid !== 0) {
    if (owner && uid !== undefined && owner.uid !== uid) {
      throw new Error(`${cluster} belongs to another user (uid ${owner.uid}); run as that user or set DATA_DIR`);
    }
    return null;
  }
  if (owner && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  return lookUpPostgresUser() ?? makePostgresUser();
}

function lookUpPostgresUser(): RunAs {
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((each) => each.startsWith('postgres:'));
  if (line === undefined) return null;
  const [, , uid, gid] = line.split(':');
  return { uid: Number(uid), gid: Number(gid) };
}

function makePostgresUser(): RunAs {
  try {
    execFileSync('useradd', ['--system', '--user-group', '--no-create-home', 'postgres'], { stdio: 'pipe' });
  } catch (error) {
    const advice = 'run as an ordinary user, or set DATABASE_URL to a server';
    throw new Error(`Postgres does not run as root, and no user postgres could be made; ${advice}`, { cause: error });
  }
  return lookUpPostgresUser();
}

/** The superuser's password; those of the other roles are derived from it. */
function readSecret(place: Place): string {
  const file = join(place.folder, 'secret');
  if (!existsSync(file)) {
    if (existsSync(place.cluster)) throw new Error(`${file} is missing, so nobody can log in to the cluster beside it`);
    writeFileSync(file, randomBytes(24).toString('base64url'), { mode: 0o600 });
    if (place.runAs) chownSync(file, place.runAs.uid, place.runAs.gid);
  }
  return readFileSync(file, 'utf8').trim();
}

async function createCluster(place: Place, secret: string, disposable: boolean): Promise<void> {
  if (existsSync(place.cluster)) return;
  // Made under another name: a folder called `cluster` is always a whole one.
  const unfinished = `${place.cluster}.unfinished`;
  rmSync(unfinished, { recursive: true, force: true });
  const words = [
    `--pgdata=${unfinished}`,
    `--username=${SUPERUSER}`,
    '--auth=scram-sha-256',
    `--pwfile=${join(place.folder, 'secret')}`,
    '--encoding=UTF8',
    '--locale=C',
    '--data-checksums',
    ...(disposable ? ['--no-sync'] : []),
  ];
  const made = await runPlaced(place, place.binaries.initdb, words);
  if (made.code !== 0) throw new Error(`initdb failed: ${made.output}`);
  renameSync(unfinished, place.cluster);
  if (secret.length === 0) throw new Error('the secret of the cluster is empty');
}

function runPlaced(place: Place, file: string, words: readonly string[]) {
  return runTool(file, words, { runAs: place.runAs, cwd: place.folder });
}

/** Started by root, the server runs as somebody who may not see /root. */
async function checkReach(place: Place): Promise<void> {
  if (place.runAs === null) return;
  const { code } = await runTool(
    '/bin/sh',
    ['-c', 'cd "$1" && test -x "$2"', 'sh', place.folder, place.binaries.postgres],
    { runAs: place.runAs, cwd: '/' },
  );
  if (code === 0) return;
  const advice =
    'move this folder out of /root, run as an ordinary user, set DATA_DIR, or set DATABASE_URL to a server';
  throw new Error(`user ${place.runAs.uid} cannot reach ${place.folder} and ${place.binaries.postgres}: ${advice}`);
}

type Running = Readonly<{ pid: number; port: number }>;

/** Waits while a server is recovering or stopping; removes a pid file that no postmaster stands behind. */
async function findRunning(place: Place): Promise<Running | null> {
  const file = join(place.cluster, 'postmaster.pid');
  for (let waitedMs = 0; waitedMs < SETTLE_LIMIT_MS; waitedMs += SETTLE_POLL_MS) {
    const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
    const pid = Number(lines[0] ?? 0);
    if (!Number.isInteger(pid) || pid <= 0) return null;
    if (!isPostmaster(pid, place.cluster)) {
      // After a crash of the machine or the container, the same number may belong to any other process.
      rmSync(file, { force: true });
      return null;
    }
    const port = Number(lines[3]);
    if (lines[7]?.trim() === 'ready' && (await answers(port))) return { pid, port };
    await wait(SETTLE_POLL_MS);
  }
  throw new Error(`the Postgres server of ${place.cluster} neither becomes ready nor ends`);
}

/** The process itself says whose data it serves; a zombie says nothing. */
function isPostmaster(pid: number, cluster: string): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  // macOS has no /proc: there a living process is believed to be the server.
  if (!existsSync('/proc/self/cmdline')) return true;
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(cluster);
  } catch (error) {
    // Gone between the two looks.
    assert(['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? ''), `no look at process ${pid}`);
    return false;
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((settle) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      settle(true);
    });
    socket.once('error', () => settle(false));
  });
}

async function startServer(place: Place, options: EmbeddedOptions): Promise<Running> {
  let failure = '';
  for (let attempt = 0; attempt < START_ATTEMPTS; attempt++) {
    const port = options.port ? options.port : await findFreePort();
    const startLog = join(place.folder, 'start.log');
    rmSync(startLog, { force: true });
    const settings = [...SETTINGS, `port=${port}`, ...(options.settings ?? [])].map((each) => `-c ${each}`).join(' ');
    const words = ['start', '-w', '-t', `${START_WAIT_SECONDS}`, '-D', place.cluster, '-l', startLog, '-o', settings];
    const { code, output } = await runPlaced(place, place.binaries.pgCtl, words);
    const running = code === 0 ? await findRunning(place) : null;
    if (running) return running;
    failure = `${output} ${existsSync(startLog) ? readFileSync(startLog, 'utf8') : ''} ${lastLogLines(place)}`.trim();
    // Right after a crash the old server's children may still hold its shared memory; the port may be taken meanwhile.
    await wait(START_PAUSE_MS * (attempt + 1));
  }
  throw new Error(`Postgres does not start in ${place.cluster}: ${failure}`);
}

function lastLogLines(place: Place): string {
  const folder = join(place.folder, 'log');
  if (!existsSync(folder)) return '';
  const newest = readdirSync(folder)
    .map((name) => ({ name, at: statSync(join(folder, name)).mtimeMs }))
    .toSorted((one, other) => other.at - one.at)[0];
  return newest ? readFileSync(join(folder, newest.name), 'utf8').split('\n').slice(-6).join('\n') : '';
}

export function findFreePort(): Promise<number> {
  return new Promise((settle, fail) => {
    const server = createServer();
    server.once('error', fail);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => settle(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

function describe(place: Place, secret: string, running: Running & { reused: boolean }): EmbeddedPostgres {
  const { pid, port, reused } = running;
  const urlOf = (user: string, password: string, database: string) =>
    `postgres://${user}:${password}@127.0.0.1:${port}/${database}`;
  const rolePassword = (role: string) => createHmac('sha256', secret).update(role).digest('base64url');
  return {
    port,
    reused,
    pid,
    adminUrl: (database = 'postgres') => urlOf(SUPERUSER, secret, database),
    roleUrl: (role, database = 'postgres') => urlOf(role, rolePassword(role), database),
    rolePassword,
    async stop(mode = 'fast') {
      const words = ['stop', '-w', '-t', `${STOP_WAIT_SECONDS}`, '-m', mode, '-D', place.cluster];
      const { code, output } = await runPlaced(place, place.binaries.pgCtl, words);
      // Somebody else may have stopped it; what matters is that nothing runs.
      if (code !== 0 && (await findRunning(place))) throw new Error(`Postgres does not stop: ${output}`);
    },
  };
}
