import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const NGINX = '/usr/sbin/nginx';
const CONFIG = resolve(import.meta.dirname, '../../.deploy/nginx.conf');
const STOP_LIMIT_MS = 5_000;

export const hasNginx = existsSync(NGINX);

export type NginxProcess = Readonly<{
  port: number;
  /** Everything that it has complained of. */
  text(): string;
  stop(): Promise<void>;
}>;

/** nginx with the configuration that the compose file mounts; only addresses and the places of its own files are others. */
export async function startNginx(port: number, gateways: readonly number[]): Promise<NginxProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'tidewire-nginx-'));
  // Run by root, its workers belong to another user.
  chmodSync(folder, 0o755);
  const config = join(folder, 'nginx.conf');
  writeFileSync(config, substituted(readFileSync(CONFIG, 'utf8'), { port, gateways, folder }));
  const { status, stderr } = spawnSync(NGINX, ['-t', '-q', '-e', 'stderr', '-p', folder, '-c', config], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`nginx refuses .deploy/nginx.conf: ${stderr}`);
  const child = spawn(NGINX, ['-e', 'stderr', '-p', folder, '-c', config, '-g', 'daemon off;'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let text = '';
  child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const gone = new Promise((done) => child.once('exit', done));
  return {
    port,
    text: () => text,
    async stop() {
      child.kill('SIGTERM');
      const forced = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
      await gone;
      clearTimeout(forced);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

type Addresses = Readonly<{ port: number; gateways: readonly number[]; folder: string }>;

function substituted(text: string, { port, gateways, folder }: Addresses): string {
  const replaced = gateways.reduce(
    (config, gateway, index) => replacedOnce(config, `gateway-${index + 1}:3000`, `127.0.0.1:${gateway}`),
    replacedOnce(text, 'listen 8080;', `listen 127.0.0.1:${port};`),
  );
  return replaced.replaceAll('/tmp/tidewire-nginx', join(folder, 'nginx'));
}

function replacedOnce(text: string, from: string, to: string): string {
  if (text.split(from).length !== 2) throw new Error(`.deploy/nginx.conf does not name ${from} once`);
  return text.replace(from, to);
}
