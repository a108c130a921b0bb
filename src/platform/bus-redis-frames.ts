import { z } from 'zod';
import { seedFrom } from '../kernel/random.ts';
import { MarketSchema } from '../protocol/market.ts';
import {
  BookDeltaData,
  BookSnapshotData,
  CandlesData,
  GapData,
  StreamMessageSchema,
  StreamStateData,
  TickerData,
  TradesData,
  VenueData,
} from '../protocol/messages.ts';
import type { StreamMessage } from '../protocol/messages.ts';
import type { StreamHead } from './bus.ts';

/**
 * What travels over Redis. Whoever may PUBLISH there can send anything, so every frame is checked whole, data included, before
 * anything is done with it: about 6 us for a delta of 20 levels, once per process and message.
 */
const FRAME_LIMIT_CHARS = 8_388_608;
/** Streams named in one control frame. */
export const STREAMS_PER_FRAME = 200;

const NodeRun = z.string().min(3).max(128);
const StreamName = z.string().min(1).max(300);
const Count = z.int().min(0);
const HeadSchema = z.strictObject({
  position: z.strictObject({ epoch: z.string().min(1).max(64), seq: Count }),
  state: StreamStateData,
  snapshot: StreamMessageSchema.nullable(),
});

/** On a partition: `n` counts this feed's frames there, so that a hole or a lost tail shows; a beat repeats the last one. */
const DataFrameSchema = z.discriminatedUnion('t', [
  z.strictObject({ t: z.literal('message'), f: NodeRun, n: Count, m: StreamMessageSchema }),
  z.strictObject({ t: z.literal('head'), f: NodeRun, n: Count, s: StreamName, h: HeadSchema }),
  z.strictObject({ t: z.literal('closed'), f: NodeRun, n: Count, s: StreamName }),
  z.strictObject({ t: z.literal('beat'), f: NodeRun, n: Count }),
]);
const FeedFrameSchema = z.strictObject({ t: z.enum(['hello', 'bye']), f: NodeRun });
const WantFrameSchema = z.strictObject({
  t: z.enum(['want', 'drop']),
  g: NodeRun,
  s: z.array(StreamName).max(STREAMS_PER_FRAME),
  /** Whether the heads are wanted too, or only the lease renewed. */
  heads: z.boolean(),
});

export type DataFrame = z.infer<typeof DataFrameSchema>;
export type FeedFrame = z.infer<typeof FeedFrameSchema>;
export type WantFrame = z.infer<typeof WantFrameSchema>;

export type BusChannels = Readonly<{
  partition(index: number): string;
  /** Undefined for any other channel. */
  partitionOf(channel: string): number | undefined;
  feeds: string;
  wants: string;
  echo(nodeRun: string): string;
}>;

export function busChannels(partitions: number): BusChannels {
  const prefix = 'tidewire:market:';
  const names = new Map(Array.from({ length: partitions }, (_, index) => [`${prefix}p${index}`, index]));
  return {
    partition: (index) => `${prefix}p${index}`,
    partitionOf: (channel) => names.get(channel),
    feeds: `${prefix}feeds`,
    wants: `${prefix}wants`,
    echo: (nodeRun) => `${prefix}echo:${nodeRun}`,
  };
}

export function partitionFor(stream: string, partitions: number): number {
  return seedFrom(stream) % partitions;
}

/** Null for anything that is not a frame. */
export function parseDataFrame(text: string): DataFrame | null {
  const frame = parse(text, DataFrameSchema);
  if (frame === null) return null;
  if (frame.t === 'message') return hasSoundData(frame.m) ? frame : null;
  if (frame.t !== 'head') return frame;
  const { snapshot } = frame.h;
  const sound =
    snapshot === null || (snapshot.stream === frame.s && snapshot.kind === 'snapshot' && hasSoundData(snapshot));
  return sound ? frame : null;
}

export function parseFeedFrame(text: string): FeedFrame | null {
  return parse(text, FeedFrameSchema);
}

export function parseWantFrame(text: string): WantFrame | null {
  return parse(text, WantFrameSchema);
}

export function headOf(frame: Extract<DataFrame, { t: 'head' }>): StreamHead {
  return frame.h;
}

function parse<T>(text: string, schema: z.ZodType<T>): T | null {
  if (text.length > FRAME_LIMIT_CHARS) return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Not even JSON: the caller counts it.
    return null;
  }
  return schema.safeParse(value).data ?? null;
}

const MarketsData = z.strictObject({ markets: z.array(MarketSchema) });

function hasSoundData(message: StreamMessage): boolean {
  return dataSchema(message)?.safeParse(message.data).success === true;
}

function dataSchema(message: StreamMessage): z.ZodType | undefined {
  if (message.kind === 'state') return StreamStateData;
  if (message.kind === 'gap') return GapData;
  switch (message.stream.slice(0, message.stream.indexOf(':'))) {
    case 'book':
      return message.kind === 'snapshot' ? BookSnapshotData : BookDeltaData;
    case 'trades':
      return TradesData;
    case 'ticker':
      return TickerData;
    case 'candles':
      return CandlesData;
    case 'venue':
      return VenueData;
    case 'markets':
      return MarketsData;
    default:
      return undefined;
  }
}
