import type { AddressInfo } from 'node:net';
import type { HttpGateway, HttpGatewaySetup } from '../gateway/http/app.ts';
import type { AccountsContext } from '../gateway/http/gateway-context.ts';
import { attachDoors, createHub } from '../gateway/ws/index.ts';
import type { Hub } from '../gateway/ws/index.ts';
import type { Identity, IdentityDeps } from '../modules/identity/index.ts';
import { createMetrics } from '../platform/metrics.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { ConnectionLimits } from '../protocol/limits.ts';
import type { IdentityRig } from './identity.ts';
import { startGateway } from './scripted-gateway.ts';
import type { ScriptedMarket } from './scripted-market.ts';

export type AccountsServerOptions = Readonly<{
  setup?: Partial<HttpGatewaySetup>;
  limits?: Partial<ConnectionLimits>;
  identity?: Partial<IdentityDeps> & Readonly<{ deaf?: boolean }>;
  accounts?: Partial<AccountsContext>;
}>;
export type Call = Readonly<{
  token?: string;
  body?: unknown;
  headers?: Readonly<Record<string, string>>;
  /** As the trusted proxy before the server would report it. */
  ip?: string;
}>;
export type Reply = Readonly<{ status: number; headers: Headers; body: never; text: string }>;

/** One process's REST and both socket doors on a loopback port, with real identity behind them. */
export type AccountsServer = Readonly<{
  port: number;
  url: string;
  identity: Identity;
  gateway: HttpGateway;
  hub: Hub;
  metrics: Metrics;
  call(method: string, path: string, call?: Call): Promise<Reply>;
  stop(): Promise<void>;
}>;

export async function startAccountsServer(
  rig: IdentityRig,
  scripted: ScriptedMarket,
  options: AccountsServerOptions = {},
): Promise<AccountsServer> {
  const identity = (await rig.node(options.identity)) as Identity;
  const absent = (name: string) => notThere(name) as never;
  const accounts: AccountsContext = {
    identity,
    orders: absent('orders'),
    ledger: absent('ledger'),
    portfolio: absent('portfolio'),
    userLog: absent('userLog'),
    ...options.accounts,
  };
  const metrics = createMetrics({ processMetrics: false });
  const gateway = await startGateway(scripted, {
    accounts,
    metrics,
    trustProxy: ['127.0.0.1'],
    rateLimits: { authPerMinute: 100_000, tradingPerMinute: 100_000 },
    ...options.setup,
  });
  await gateway.app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = gateway.server.address() as AddressInfo;
  const { cache, directory, clock, log } = scripted;
  const hub = createHub({
    cache,
    directory,
    clock,
    log,
    random: Math.random,
    metrics: createMetrics({ processMetrics: false }),
    accounts: { ...accounts, ...gateway.guards },
    ...(options.limits && { limits: options.limits }),
  });
  const doors = attachDoors({
    server: gateway.server,
    hub,
    log,
    allowedOrigins: [],
    trustedProxies: ['127.0.0.1'],
  });
  const url = `http://127.0.0.1:${port}`;
  return {
    port,
    url,
    identity,
    gateway,
    hub,
    metrics,
    call: (method, path, call) => callServer(url, method, path, call),
    async stop() {
      await doors.close();
      await gateway.app.close();
    },
  };
}

async function callServer(url: string, method: string, path: string, call: Call = {}): Promise<Reply> {
  const text = typeof call.body === 'string' ? call.body : JSON.stringify(call.body);
  const answer = await fetch(url + path, {
    method,
    headers: {
      ...(call.body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(call.token === undefined ? {} : { authorization: `Bearer ${call.token}` }),
      ...(call.ip === undefined ? {} : { 'x-forwarded-for': call.ip }),
      ...call.headers,
    },
    ...(text === undefined ? {} : { body: text }),
  });
  const got = await answer.text();
  const isJson = answer.headers.get('content-type')?.includes('json') ?? false;
  return {
    status: answer.status,
    headers: answer.headers,
    text: got,
    body: (isJson ? JSON.parse(got) : null) as never,
  };
}

/** A module that a test has no use for: whoever uses it after all is told. */
function notThere(name: string): object {
  return new Proxy(
    {},
    {
      get(_target, property) {
        throw new Error(`the test has no ${name}, and ${String(property)} was asked of it`);
      },
    },
  );
}
