import { networkInterfaces } from 'node:os';

const WILDCARD_HOSTS = new Set(['0.0.0.0', '::']);

/** Origins of the pages that this process serves itself, however a browser on this machine or its network may call it. */
export function ownOrigins(host: string, port: number): string[] {
  const addresses = Object.values(networkInterfaces()).flatMap((each) => (each ?? []).map(({ address }) => address));
  const hosts = ['localhost', '127.0.0.1', '::1', ...(WILDCARD_HOSTS.has(host) ? addresses : [host])];
  const origin = (name: string): string => `http://${name.includes(':') ? `[${name}]` : name}:${port}`;
  return [...new Set(hosts.map((name) => new URL(origin(name)).origin))];
}
