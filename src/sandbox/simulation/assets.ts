/**
 * The simulated assets. Prices are round numbers in the region of mid 2026; nothing depends on them. Volatilities of BTC and ETH
 * are measured (standard deviation of the mid price over one second, Binance spot, 2024-08-08); the others are assumed from them.
 */
export type BaseAsset = Readonly<{
  usdPrice: number;
  returnBpsPerSecond: number;
  /** Correlation with the move that all assets share. */
  marketCorrelation: number;
}>;

export const BASE_ASSETS: Readonly<Record<string, BaseAsset>> = {
  BTC: { usdPrice: 65_000, returnBpsPerSecond: 1.2, marketCorrelation: 0.9 },
  ETH: { usdPrice: 1_900, returnBpsPerSecond: 1.2, marketCorrelation: 0.85 },
  SOL: { usdPrice: 84, returnBpsPerSecond: 1.5, marketCorrelation: 0.8 },
  XRP: { usdPrice: 1.1, returnBpsPerSecond: 1.5, marketCorrelation: 0.7 },
  DOGE: { usdPrice: 0.09, returnBpsPerSecond: 1.7, marketCorrelation: 0.7 },
  ADA: { usdPrice: 0.28, returnBpsPerSecond: 1.6, marketCorrelation: 0.7 },
  LTC: { usdPrice: 55, returnBpsPerSecond: 1.4, marketCorrelation: 0.7 },
  LINK: { usdPrice: 9, returnBpsPerSecond: 1.6, marketCorrelation: 0.7 },
};
