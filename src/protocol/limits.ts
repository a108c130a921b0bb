/** What one connection may do; sent whole in `welcome`, so that a client need not guess. */
export const CONNECTION_LIMITS = {
  streamsPerConnection: 200,
  streamsPerRequest: 100,
  inboundMessagesPerSecond: 20,
  inboundBurst: 40,
  inboundBytes: 16_384,
  /** Refused messages beyond the rate before the connection is closed as abuse. */
  rateStrikes: 100,
  connectionsPerIp: 1_000,
  /** Authenticated ones of one user, on one server. */
  connectionsPerUser: 100,
  handshakeTimeoutMs: 5_000,
  heartbeatMs: 5_000,
  /** Conflation starts past any of these three; the connection is closed past the second three. */
  slowQueuedFrames: 256,
  slowQueuedBytes: 262_144,
  slowAgeMs: 1_000,
  closeQueuedFrames: 2_048,
  closeQueuedBytes: 1_048_576,
  closeAgeMs: 10_000,
} as const;

/** What is kept of each stream for resume: whichever limit is met first decides. */
export const RETENTION_LIMITS = { messages: 1_000, bytes: 2_097_152, ageMs: 60_000 } as const;

/** One message of several pushes: longer windows would be felt, and a larger message would have to be parsed whole before its first push is seen. */
export const BATCH_LIMITS = { windowMs: 50, envelopes: 256, bytes: 65_536 } as const;

/** What a snapshot carries. */
export const SNAPSHOT_LIMITS = { trades: 100, candles: 100 } as const;

export type ConnectionLimits = { readonly [K in keyof typeof CONNECTION_LIMITS]: number };
