import type { FastifyRequest } from 'fastify';
import type { Origin } from '../../modules/identity/index.ts';

const USER_AGENT_LIMIT_CHARS = 256;
const DEVICE_TOKEN = /^[A-Za-z0-9._~+/=-]{16,512}$/;

/** Where a request came from: the address of the socket, or the one that a trusted proxy vouches for. */
export function originOf(request: FastifyRequest): Origin {
  const deviceToken = request.headers['x-device-token'];
  return {
    ip: plainAddress(request.ip),
    userAgent: request.headers['user-agent']?.slice(0, USER_AGENT_LIMIT_CHARS) ?? null,
    requestId: request.id,
    ...(typeof deviceToken === 'string' && DEVICE_TOKEN.test(deviceToken) ? { deviceToken } : {}),
  };
}

/** A dual-stack socket reports IPv4 peers as `::ffff:a.b.c.d`: allow lists and audit entries mean the same address. */
function plainAddress(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  return mapped ? mapped[1]! : address;
}
