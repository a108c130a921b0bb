import { z } from 'zod';
import { DecimalText } from './messages.ts';

/** A market's rules as the exchange publishes them. `null` means that the exchange does not say. */
export const MarketSchema = z
  .strictObject({
    venue: z.string(),
    symbol: z.string().meta({ description: "ccxt's unified symbol", examples: ['BTC/USDT'] }),
    exchangeSymbol: z.string(),
    base: z.string(),
    quote: z.string(),
    type: z.string().meta({ examples: ['spot', 'swap'] }),
    active: z.boolean(),
    priceDecimals: z.int().min(0),
    sizeDecimals: z.int().min(0),
    tickSize: DecimalText.nullable(),
    lotSize: DecimalText.nullable(),
    minSize: DecimalText.nullable(),
    minNotional: DecimalText.nullable(),
  })
  .meta({ id: 'Market' });
export type Market = Readonly<z.infer<typeof MarketSchema>>;
