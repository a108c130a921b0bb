import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLog } from '../testing/postgres.ts';
import { startEmbeddedPostgres } from './postgres-embedded.ts';
import { startPostgres } from './postgres-server.ts';

let dataDir: string;

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), `tidewire-test-pg-${process.pid}-embedded-`));
  chmodSync(dataDir, 0o755);
});
afterEach(async () => {
  if (existsSync(pidFile())) await (await start()).stop('immediate');
  rmSync(dataDir, { recursive: true, force: true });
});

const start = () => startEmbeddedPostgres({ dataDir, log: silentLog, disposable: true });
const pidFile = () => join(dataDir, 'pg/cluster/postmaster.pid');

async function ask<T>(url: string, statement: string): Promise<T> {
  const client = postgres(url, { max: 1, onnotice: () => {} });
  const [row] = await client.unsafe(statement).finally(() => client.end({ timeout: 1 }));
  return Object.values(row ?? {})[0] as T;
}

/** A process that ended but was not collected by its parent yet has no command line any more. */
function isRunning(pid: number): boolean {
  const file = `/proc/${pid}/cmdline`;
  return existsSync(file) && readFileSync(file, 'utf8') !== '';
}

describe('the embedded server', () => {
  it('keeps its promises: durable, checksummed, on loopback only, behind a password', async () => {
    const server = await start();
    const settings = new Map<string, string>();
    for (const name of [
      'fsync',
      'full_page_writes',
      'synchronous_commit',
      'data_checksums',
      'listen_addresses',
      'unix_socket_directories',
      'lc_collate',
      'server_encoding',
    ]) {
      if (name === 'lc_collate')
        settings.set(
          name,
          await ask(server.adminUrl(), 'select datcollate from pg_database where datname = current_database()'),
        );
      else settings.set(name, await ask(server.adminUrl(), `show ${name}`));
    }
    expect(Object.fromEntries(settings)).toEqual({
      fsync: 'on',
      full_page_writes: 'on',
      synchronous_commit: 'on',
      data_checksums: 'on',
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      lc_collate: 'C',
      server_encoding: 'UTF8',
    });
    await expect(ask(`postgres://postgres:wrong@127.0.0.1:${server.port}/postgres`, 'select 1')).rejects.toThrow(
      /password/,
    );
    await server.stop();
    expect(isRunning(server.pid)).toBe(false);
  });

  it('is found and used again after its owner was killed, with everything that was committed', async () => {
    const script = `
      import { startEmbeddedPostgres } from ${JSON.stringify(join(import.meta.dirname, 'postgres-embedded.ts'))};
      import { createLog } from ${JSON.stringify(join(import.meta.dirname, 'log.ts'))};
      const server = await startEmbeddedPostgres({ dataDir: ${JSON.stringify(dataDir)}, log: createLog({ level: 'silent' }), disposable: true });
      console.log(server.adminUrl());
      setInterval(() => {}, 1000);`;
    const owner = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [url] = (await once(owner.stdout, 'data')) as [Buffer];
    await ask(url.toString().trim(), 'create table kept as select 42 as answer');
    owner.kill('SIGKILL');
    await once(owner, 'exit');
    const found = await start();
    expect(found.reused).toBe(true);
    expect(await ask(found.adminUrl(), 'select answer from kept')).toBe(42);
    await found.stop();
    expect(isRunning(found.pid)).toBe(false);
  });

  it('recovers what was committed after the postmaster and all its processes were killed', async () => {
    const server = await start();
    await ask(server.adminUrl(), 'create table kept as select 42 as answer');
    const children = await ask<string>(
      server.adminUrl(),
      'select array_to_string(array_agg(pid), $$ $$) from pg_stat_activity where pid <> pg_backend_pid()',
    );
    for (const pid of [server.pid, ...children.split(' ').map(Number)]) process.kill(pid, 'SIGKILL');
    const next = await start();
    expect(next.reused).toBe(false);
    expect(await ask(next.adminUrl(), 'select answer from kept')).toBe(42);
    await next.stop();
  });

  it('does not take another process for its server because it has the number of the old one', async () => {
    const server = await start();
    const file = readFileSync(pidFile(), 'utf8');
    await server.stop();
    writeFileSync(pidFile(), file.replace(/^\d+/, `${process.pid}`));
    const next = await start();
    expect(next.reused).toBe(false);
    expect(next.pid).not.toBe(process.pid);
    await next.stop();
  });

  it('begins again when it was killed while making its data', async () => {
    const unfinished = join(dataDir, 'pg/cluster.unfinished');
    const first = await start();
    await first.stop();
    rmSync(join(dataDir, 'pg'), { recursive: true });
    mkdirSync(unfinished, { recursive: true });
    writeFileSync(join(unfinished, 'PG_VERSION'), '18');
    const next = await start();
    expect(existsSync(unfinished)).toBe(false);
    await next.stop();
  });

  it('says what is wrong when its port is taken', async () => {
    const occupant = createServer().listen(0, '127.0.0.1');
    await once(occupant, 'listening');
    const { port } = occupant.address() as { port: number };
    await expect(startEmbeddedPostgres({ dataDir, log: silentLog, disposable: true, port })).rejects.toThrow(
      /does not start.*(bind|address)/is,
    );
    occupant.close();
  });

  it('is not stopped by a visitor while anybody else uses it, and is by its owner', async () => {
    const options = { databaseUrl: null, dataDir, log: silentLog };
    const visitor = await startPostgres({ ...options, lease: 'visit' });
    const client = postgres(visitor.adminUrl, { max: 1, onnotice: () => {} });
    await client`select 1`;
    await visitor.stop();
    expect(await ask(visitor.adminUrl, 'select 1')).toBe(1);
    await client.end();
    const second = await startPostgres({ ...options, lease: 'visit' });
    await second.stop();
    expect(existsSync(pidFile())).toBe(true);
    const owner = await startPostgres({ ...options, lease: 'own' });
    await owner.stop();
    expect(existsSync(pidFile())).toBe(false);
  });
});
