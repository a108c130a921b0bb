import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Log } from '../../platform/log.ts';
import type { Metrics } from '../../platform/metrics.ts';

const REQUEST_TIMEOUT_MS = 10_000;
const CONNECTIONS_LIMIT = 256;

export type VenueReadiness = Readonly<{
  venue: string;
  loaded: boolean;
  markets: number;
  status: string;
  reason: string;
}>;
export type Readiness = Readonly<{
  ready: boolean;
  /** Why not, or what is missing although it is. */
  reason: string;
  roles: readonly string[];
  bus: 'ok' | 'degraded';
  venues: readonly VenueReadiness[];
}>;

export type OpsServer = Readonly<{
  /** Answers the port that was taken. Throws what `listen` reports. */
  listen(host: string, port: number): Promise<number>;
  close(): Promise<void>;
}>;

/** `/health`, `/ready` and `/metrics`, apart from the public port and working while that one is drained. */
export function createOpsServer(options: { readiness: () => Readiness; metrics: Metrics; log: Log }): OpsServer {
  const { log } = options;
  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS });
  server.maxConnections = CONNECTIONS_LIMIT;
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    answer(options, request, response).catch((error: unknown) => {
      log.error({ event: 'ops_request_failed', err: error });
      if (!response.headersSent) send(response, 500, 'application/json', '{"status":"failed"}');
      else response.destroy();
    });
  });
  return {
    listen: (host, port) =>
      new Promise((resolve, reject) => {
        server.once('error', reject);
        server.listen(port, host, () => {
          server.off('error', reject);
          resolve((server.address() as AddressInfo).port);
        });
      }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

type Sources = { readiness: () => Readiness; metrics: Metrics };

async function answer(sources: Sources, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD');
    return send(response, 405, 'application/json', '{"status":"method_not_allowed"}');
  }
  switch ((request.url ?? '').split('?', 1)[0]) {
    case '/health':
      return send(
        response,
        200,
        'application/json',
        JSON.stringify({ status: 'ok', uptimeMs: Math.round(performance.now()) }),
      );
    case '/ready': {
      const readiness = sources.readiness();
      return send(response, readiness.ready ? 200 : 503, 'application/json', JSON.stringify(readiness));
    }
    case '/metrics':
      return send(response, 200, sources.metrics.contentType, await sources.metrics.render());
    default:
      return send(response, 404, 'application/json', '{"status":"not_found"}');
  }
}

/** For HEAD, node itself leaves the body out. */
function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(body);
}
