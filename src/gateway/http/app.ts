import type { Server } from 'node:http';
import { constants } from 'node:zlib';
import fastifyCompress from '@fastify/compress';
import fastifyCors from '@fastify/cors';
import fastifyHelmet from '@fastify/helmet';
import fastifyRateLimit from '@fastify/rate-limit';
import { LogController, fastify } from 'fastify';
import type { FastifyBaseLogger } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod';
import { wireError } from '../../protocol/errors.ts';
import { addConsole } from './console-page.ts';
import { DATA_POLICY } from './content-security.ts';
import { addDocumentation, addOpenapi, isDocumentation } from './documentation.ts';
import type { AccountsGatewayContext, GatewayContext, HttpApp } from './gateway-context.ts';
import { addJsonBodies } from './json-body.ts';
import { addPrincipals, declareAccess } from './principal.ts';
import { ProblemError, answerError, answerRawError, answerRouterError } from './problem.ts';
import type { RateStore } from './rate-counter.ts';
import { createRateTiers } from './rate-tiers.ts';
import type { RateTiers } from './rate-tiers.ts';
import { createRefusalAudit } from './refusal-audit.ts';
import type { RefusalAudit } from './refusal-audit.ts';
import { addRequestHooks, answerNotFound, requestIdOf, watchMethods } from './request-hooks.ts';
import { authRoutes } from './routes/auth.ts';
import { bookRoute } from './routes/book.ts';
import { candlesRoute } from './routes/candles.ts';
import { keyRoutes } from './routes/keys.ts';
import { marketsRoutes } from './routes/markets.ts';
import { secondFactorRoutes } from './routes/second-factor.ts';
import { sessionRoutes } from './routes/sessions.ts';
import { tickerRoute } from './routes/ticker.ts';
import { tradesRoute } from './routes/trades.ts';
import { tradingRoutes } from './routes/trading.ts';
import { userRoutes } from './routes/users.ts';
import { venuesRoute } from './routes/venues.ts';
import { createStreamReader } from './stream-reader.ts';

const BODY_LIMIT_BYTES = 16_384;
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 20_000;
const HANDLER_TIMEOUT_MS = 15_000;
const KEEP_ALIVE_TIMEOUT_MS = 65_000;
const TIMEOUT_CHECK_INTERVAL_MS = 2_000;
/** Percent-encoded, a symbol in another script is three times as long as its letters. */
const PATH_PART_LIMIT_CHARS = 512;
const RATE_WINDOW_MS = 60_000;
/** Client addresses counted at a time; past it the least recent starts anew. */
const RATE_ADDRESSES_LIMIT = 20_000;
const COMPRESSION_LEAST_BYTES = 1_024;
/** The default of 11 costs a hundred times the CPU for a tenth of the bytes. */
const BROTLI_QUALITY = 4;

/** What pages of other origins may send. */
const REQUEST_HEADERS = [
  'authorization',
  'content-type',
  'idempotency-key',
  'if-none-match',
  'x-api-key',
  'x-api-nonce',
  'x-api-recv-window',
  'x-api-signature',
  'x-api-timestamp',
  'x-device-token',
  'x-request-id',
  'x-step-up-token',
];
const DEFAULT_AUTH_PER_MINUTE = 10;
const DEFAULT_TRADING_PER_MINUTE = 30;

export type HttpGatewaySetup = GatewayContext &
  Readonly<{
    version: string;
    corsOrigins: readonly string[];
    trustProxy: readonly string[];
    /** For everything that only looks: by client address, for users by user. */
    rateLimitPerMinute: number;
    /** Default 10 and 30: logins, keys and money; orders. */
    rateLimits?: Readonly<{ authPerMinute: number; tradingPerMinute: number }>;
    /**
     * An ioredis client, so that all gateways count together; in memory without one. Counting must not wait for a Redis that is away:
     * then public requests are not limited, and the others by what this process counts itself.
     */
    rateLimitStore?: RateStore;
    /** A folder made by `npm run build:console`; default: where that puts it. */
    consoleBundle?: string;
  }>;

/** For the sockets, so that they count and audit together with the routes. */
export type SharedGuards = Readonly<{ countCommand: RateTiers['countCommand']; auditRefusal: RefusalAudit }>;

export type HttpGateway = Readonly<{
  app: HttpApp;
  /** The socket doors attach to it. */
  server: Server;
  /** Null without accounts. */
  guards: SharedGuards | null;
  /** From now on every request is told to come back elsewhere. */
  drain(): void;
}>;

export async function createHttpGateway(setup: HttpGatewaySetup): Promise<HttpGateway> {
  const app: HttpApp = fastify({
    loggerInstance: setup.log as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'requestId' }),
    requestIdHeader: false,
    genReqId: requestIdOf,
    trustProxy: setup.trustProxy.length === 0 ? false : [...setup.trustProxy],
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    handlerTimeout: HANDLER_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    http: {
      connectionsCheckingInterval: TIMEOUT_CHECK_INTERVAL_MS,
      headersTimeout: HEADERS_TIMEOUT_MS,
      // An offer of HTTP/2 (`Upgrade: h2c`) is to be ignored, not routed to the WebSocket doors.
      shouldUpgradeCallback: ({ headers }) => headers.upgrade?.toLowerCase() === 'websocket',
    },
    routerOptions: { maxParamLength: PATH_PART_LIMIT_CHARS },
    return503OnClosing: false,
    frameworkErrors: answerRouterError,
    clientErrorHandler: answerRawError,
  }).withTypeProvider<ZodTypeProvider>();
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  app.setErrorHandler(answerError);
  addJsonBodies(app);
  const hooks = addRequestHooks(app, setup.metrics);
  const methods = watchMethods(app);
  declareAccess(app);
  await addPlugins(app, setup);
  await addOpenapi(app, setup.version);
  addRoutes(app, setup);
  const guards = setup.accounts ? addAccountRoutes(app, { ...setup, accounts: setup.accounts }) : null;
  await addDocumentation(app, setup.version);
  addConsole(app, setup.consoleBundle);
  methods.refuseOthers();
  return { app, server: app.server, guards, drain: hooks.drain };
}

async function addPlugins(app: HttpApp, setup: HttpGatewaySetup): Promise<void> {
  await app.register(fastifyHelmet, {
    contentSecurityPolicy: { useDefaults: false, directives: DATA_POLICY },
    strictTransportSecurity: { maxAge: 31_536_000, includeSubDomains: false },
  });
  await app.register(fastifyCors, {
    origin: setup.corsOrigins.length === 0 ? false : [...setup.corsOrigins],
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    allowedHeaders: REQUEST_HEADERS,
    exposedHeaders: [
      'etag',
      'idempotency-hit',
      'retry-after',
      'x-request-id',
      'x-ratelimit-limit',
      'x-ratelimit-remaining',
      'x-ratelimit-reset',
    ],
    maxAge: 600,
    // Strict mode would answer in plain text, past our error table.
    strictPreflight: false,
  });
  const limited = setup.metrics.counter('http_rate_limited_total', 'Requests beyond the rate');
  await app.register(fastifyRateLimit, {
    max: setup.rateLimitPerMinute,
    timeWindow: RATE_WINDOW_MS,
    cache: RATE_ADDRESSES_LIMIT,
    allowList: (request) => isDocumentation(request.url),
    ...(setup.rateLimitStore === undefined ? {} : { redis: setup.rateLimitStore, nameSpace: 'tidewire:rate:' }),
    // Without its Redis a limit is not worth an outage.
    skipOnError: true,
    onExceeded: () => limited.inc({}),
    errorResponseBuilder: (_request, { ttl }) => new ProblemError(wireError('rate_limited', undefined, ttl)),
  });
  app.setNotFoundHandler({ preHandler: app.rateLimit() }, answerNotFound);
  await app.register(fastifyCompress, {
    threshold: COMPRESSION_LEAST_BYTES,
    encodings: ['br', 'gzip'],
    brotliOptions: { params: { [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY } },
    // Requests carry no bodies worth compressing, and a compressed body is how a small one becomes a large one.
    globalDecompression: false,
  });
}

function addRoutes(app: HttpApp, setup: HttpGatewaySetup): void {
  const read = createStreamReader(setup);
  venuesRoute(app, setup);
  marketsRoutes(app, setup);
  tickerRoute(app, setup, read);
  bookRoute(app, setup, read);
  tradesRoute(app, setup, read);
  candlesRoute(app, setup, read);
}

function addAccountRoutes(app: HttpApp, setup: HttpGatewaySetup & AccountsGatewayContext): SharedGuards {
  const { clock, log, metrics, rateLimits, rateLimitStore, rateLimitPerMinute } = setup;
  const { identity } = setup.accounts;
  const limits = {
    authPerMinute: rateLimits?.authPerMinute ?? DEFAULT_AUTH_PER_MINUTE,
    tradingPerMinute: rateLimits?.tradingPerMinute ?? DEFAULT_TRADING_PER_MINUTE,
    publicPerMinute: rateLimitPerMinute,
  };
  const rates = createRateTiers({ limits, store: rateLimitStore ?? null, clock, log, metrics });
  const audit = createRefusalAudit({ identity, clock, log, metrics });
  addPrincipals(app, { identity, rates, audit });
  authRoutes(app, setup);
  sessionRoutes(app, setup);
  secondFactorRoutes(app, setup);
  keyRoutes(app, setup);
  userRoutes(app, setup);
  tradingRoutes(app, setup);
  return { countCommand: rates.countCommand, auditRefusal: audit };
}
