import { coarse, plain } from './fixed.ts';
import type { CommandDeps } from './commands.ts';
import { openVerdict } from './market-rules.ts';
import { freshBook } from './placement.ts';
import { protectionFromBook } from './pricing.ts';
import { readWorking } from './queries.ts';

type Check = Readonly<{
  protectionPrice: string | null;
  denial: Readonly<{ code: string; message: string }> | null;
}>;

/**
 * What a stop meets when its trigger is met: the market may have closed meanwhile, and what becomes a market order is protected
 * by the book of now. Without a live book the protection stays as it was placed.
 */
export async function checkTrigger(deps: CommandDeps, orderId: string): Promise<Check> {
  const [work] = await readWorking(deps.database, [orderId]);
  if (work === undefined) return { protectionPrice: null, denial: null };
  const { order } = work;
  const found = deps.directory.find(order.venue, order.symbol);
  // A directory that does not know (yet) is no proof that the market is closed.
  if (found.found !== 'market') return { protectionPrice: null, denial: null };
  const open = openVerdict(found.market);
  if (!open.ok) return { protectionPrice: null, denial: { code: open.code, message: open.message } };
  if (order.price !== null || order.remainingQuantity === null) return { protectionPrice: null, denial: null };
  const book = await freshBook(deps.books, order.venue, order.symbol);
  if (book === null) return { protectionPrice: null, denial: null };
  const wish = { side: order.side, quantity: coarse(order.remainingQuantity), budget: null };
  const protection = protectionFromBook(wish, book, found.market);
  return { protectionPrice: protection === null ? null : plain(protection), denial: null };
}
