import { z } from 'zod';
import type { Outcome } from '../../../kernel/outcome.ts';
import { accepted, refused } from '../../../kernel/outcome.ts';
import type { Market } from '../../../protocol/market.ts';
import { wireError } from '../../../protocol/errors.ts';
import type { GatewayContext, HttpApp } from '../gateway-context.ts';
import { MarketAddress, findMarket } from '../market-address.ts';
import { sendProblem } from '../problem.ts';
import { integerQuery, textQuery } from '../query.ts';
import { MarketSchema, MarketsAnswer, PROBLEM_RESPONSE } from '../shapes.ts';
import { sendRefusal } from '../stream-reader.ts';

const PAGE_LIMIT = 1_000;
const DEFAULT_PAGE = 100;
/** Markets change in days; a client may keep a page for this long. */
const PAGE_MAX_AGE_SECONDS = 10;

const asset = (description: string) =>
  textQuery({ pattern: /^[^\s\p{C}]{1,64}$/u, wanted: 'must be the code of an asset, such as BTC', description });

const MarketsQuery = z.strictObject({
  venue: textQuery({ pattern: /^[a-z0-9_]{2,32}$/, wanted: 'must be the id of a venue', description: 'Of one venue' }),
  base: asset('With this base asset'),
  quote: asset('With this quote asset'),
  active: textQuery({ pattern: /^(?:true|false)$/, wanted: 'must be true or false', description: 'Open for trading' }),
  q: textQuery({
    pattern: /^[^\p{C}]{1,64}$/u,
    wanted: 'must be 1 to 64 characters',
    description: 'Symbol holds this text',
  }),
  cursor: textQuery({
    pattern: /^[A-Za-z0-9_-]{1,512}$/,
    wanted: 'must be the nextCursor of an earlier page',
    description: 'Where the earlier page ended',
  }),
  limit: integerQuery({ min: 1, max: PAGE_LIMIT, fallback: DEFAULT_PAGE, description: 'Markets a page' }),
});
type MarketsQuery = z.infer<typeof MarketsQuery>;

export function marketsRoutes(app: HttpApp, context: GatewayContext): void {
  const sorted = createSortedMarkets(context);
  app.route({
    method: 'GET',
    url: '/v1/markets',
    schema: {
      summary: 'What is traded where, by venue and symbol',
      tags: ['markets'],
      querystring: MarketsQuery,
      response: { 200: MarketsAnswer, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) => {
      const page = pageOf(request.query, sorted);
      if (!page.ok) return sendProblem(reply, wireError(page.code, page.message));
      reply.header('cache-control', `public, max-age=${PAGE_MAX_AGE_SECONDS}`);
      return page.value;
    },
  });
  app.route({
    method: 'GET',
    url: '/v1/markets/:venue/:pair',
    schema: {
      summary: 'One market and its rules',
      tags: ['markets'],
      params: MarketAddress,
      querystring: z.strictObject({}),
      response: { 200: MarketSchema, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) => {
      const market = findMarket(context.directory, request.params);
      if (!market.ok) return sendRefusal(reply, market);
      reply.header('cache-control', `public, max-age=${PAGE_MAX_AGE_SECONDS}`);
      return market.value;
    },
  });
}

type SortedMarkets = Readonly<{ venues: readonly string[]; of(venue: string): readonly Market[] }>;

/** Sorted once per list that the directory holds, not once per request: a large venue has thousands. */
function createSortedMarkets(context: GatewayContext): SortedMarkets {
  const lists = new WeakMap<readonly Market[], readonly Market[]>();
  const venues = context.venues.toSorted(byText);
  return {
    venues,
    of(venue) {
      const list = context.directory.markets(venue);
      if (list === undefined) return [];
      let ordered = lists.get(list);
      if (ordered === undefined) {
        ordered = list.toSorted((left, right) => byText(left.symbol, right.symbol));
        lists.set(list, ordered);
      }
      return ordered;
    },
  };
}

function byText(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

type Page = { markets: Market[]; nextCursor: string | null };

function pageOf(query: MarketsQuery, sorted: SortedMarkets): Outcome<Page, 'bad_request' | 'unknown_venue'> {
  const after = query.cursor === undefined ? null : readCursor(query.cursor);
  if (query.cursor !== undefined && after === null) {
    return refused('bad_request', 'querystring.cursor: must be the nextCursor of an earlier page');
  }
  if (query.venue !== undefined && !sorted.venues.includes(query.venue)) {
    return refused('unknown_venue', `There is no venue ${query.venue} here`);
  }
  const markets: Market[] = [];
  for (const venue of query.venue === undefined ? sorted.venues : [query.venue]) {
    if (after !== null && venue < after.venue) continue;
    for (const market of sorted.of(venue)) {
      if (after !== null && venue === after.venue && market.symbol <= after.symbol) continue;
      if (!matches(market, query)) continue;
      if (markets.length === query.limit) return accepted({ markets, nextCursor: writeCursor(markets.at(-1)!) });
      markets.push(market);
    }
  }
  return accepted({ markets, nextCursor: null });
}

function matches(market: Market, query: MarketsQuery): boolean {
  return (
    (query.base === undefined || market.base === query.base) &&
    (query.quote === undefined || market.quote === query.quote) &&
    (query.active === undefined || market.active === (query.active === 'true')) &&
    (query.q === undefined || market.symbol.toLowerCase().includes(query.q.toLowerCase()))
  );
}

/** A position, not a promise: a forged cursor only starts somewhere else in a public list. */
function writeCursor(market: Market): string {
  return Buffer.from(JSON.stringify([market.venue, market.symbol])).toString('base64url');
}

const CursorContent = z.tuple([z.string(), z.string()]);

function readCursor(cursor: string): { venue: string; symbol: string } | null {
  const text = Buffer.from(cursor, 'base64url').toString();
  if (!text.startsWith('["')) return null;
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    return null;
  }
  const parsed = CursorContent.safeParse(content);
  return parsed.success ? { venue: parsed.data[0], symbol: parsed.data[1] } : null;
}
