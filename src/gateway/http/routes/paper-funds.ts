import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { givePaperFunds, paperAsset } from '../../../modules/ledger/index.ts';
import { accepted, refused } from '../../../kernel/outcome.ts';
import type { Outcome } from '../../../kernel/outcome.ts';
import { PaperFundsAnswer, PaperFundsBody } from '../../../protocol/trading-answers.ts';
import type { AccountsGatewayContext, GatewayContext, HttpApp } from '../gateway-context.ts';
import { IdempotencyHeader, callerOf, requestKeyOf, sendDone } from '../order-commands.ts';
import { PROBLEM_RESPONSE } from '../shapes.ts';

/** Before the client's own key in the ledger. A blank cannot be in one, so that no other request can mean the same. */
const KEY_PREFIX = 'paper funds ';

export function paperFundsRoute(app: HttpApp, context: AccountsGatewayContext): void {
  const { ledger } = context.accounts;
  app.route({
    method: 'POST',
    url: '/v1/paper/funds',
    config: { access: { scope: 'trade', tier: 'auth' } },
    schema: {
      summary: 'Get paper money of an asset that is traded here',
      description:
        'The same Idempotency-Key and body are answered the same again, with 200 and the header Idempotency-Hit. Keys of this ' +
        'route are kept apart from those of orders: the same key there is another key.',
      tags: ['money'],
      querystring: z.strictObject({}),
      headers: IdempotencyHeader,
      body: PaperFundsBody,
      response: { 200: PaperFundsAnswer, 201: PaperFundsAnswer, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) => {
      const { amount } = request.body;
      const asset = paperAsset(request.body.asset);
      // An asset that the ledger has was traded here before: a repeated request must not be refused for a list that is not loaded.
      if (!(await ledger.assets()).has(asset)) {
        const trade = judgeAsset(context, asset);
        if (!trade.ok) return sendDone(reply, trade, 201);
      }
      const { userId, actor, requestId } = callerOf(request);
      const key = KEY_PREFIX + (requestKeyOf(request).idempotencyKey ?? randomUUID());
      const given = await givePaperFunds(ledger, {
        key: { scope: userId, key },
        actor,
        owner: userId,
        asset,
        amount,
        ...(requestId === null ? {} : { requestId }),
      });
      if (!given.ok) return sendDone(reply, given, 201);
      const { journalId, repeated } = given.value;
      return sendDone(reply, accepted({ value: { asset, amount, journalId }, repeated }), 201);
    },
  });
}

/** Otherwise any text would become an asset of the ledger for ever. */
function judgeAsset(
  { venues, directory }: GatewayContext,
  asset: string,
): Outcome<true, 'unknown_symbol' | 'venue_unavailable'> {
  const lists = venues.map((venue) => directory.markets(venue));
  const traded = lists.some((markets) =>
    markets?.some(({ base, quote }) => paperAsset(base) === asset || paperAsset(quote) === asset),
  );
  if (traded) return accepted(true);
  if (lists.includes(undefined)) return refused('venue_unavailable', 'Not all markets are known yet');
  return refused('unknown_symbol', `No market here trades ${asset}`);
}
