import { z } from 'zod';
import { seedFrom } from '../kernel/random.ts';
import { StreamMessageSchema, StreamStateData } from '../protocol/messages.ts';
import type { StreamMessage } from '../protocol/messages.ts';
import { isSoundMessage } from './bus-redis-message.ts';
import type { StreamHead } from './bus.ts';

/**
 * What travels over Redis. Whoever may PUBLISH there can send anything, so every frame is checked whole, data included, before
 * anything is done with it, once per process and message.
 */
const FRAME_LIMIT_CHARS = 8_388_608;
/** Whoever hears a stream notices more. */
export const PATIENCE_LIMIT_MS = 50;
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

/**
 * On a partition: `n` counts this feed's frames there, so that a hole or a lost tail shows; a beat repeats the last one.
 * A message's own text follows its frame on a line of its own: gateways send it on as it is rather than write it anew.
 */
const DataFrameSchema = z.discriminatedUnion('t', [
  z.strictObject({ t: z.literal('message'), f: NodeRun, n: Count }),
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
  /** How late messages may be, milliseconds. Said with each frame: the last one counts. */
  p: z.int().min(0).max(PATIENCE_LIMIT_MS),
});

type MessageFrame = Readonly<{ t: 'message'; f: string; n: number; m: StreamMessage; json: string }>;
export type DataFrame = Exclude<z.infer<typeof DataFrameSchema>, { t: 'message' }> | MessageFrame;
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

export function messageFrame(f: string, n: number, message: StreamMessage): string {
  return `${JSON.stringify({ t: 'message', f, n })}\n${JSON.stringify(message)}`;
}

/** Null for anything that is not a frame. */
export function parseDataFrame(text: string): DataFrame | null {
  if (text.length > FRAME_LIMIT_CHARS) return null;
  const lineEnd = text.indexOf('\n');
  const frame = parse(lineEnd === -1 ? text : text.slice(0, lineEnd), DataFrameSchema);
  if (frame === null || (frame.t === 'message') !== (lineEnd !== -1)) return null;
  if (frame.t === 'message') return withMessage(frame, text.slice(lineEnd + 1));
  if (frame.t !== 'head') return frame;
  const { snapshot } = frame.h;
  const sound =
    snapshot === null || (snapshot.stream === frame.s && snapshot.kind === 'snapshot' && isSoundMessage(snapshot));
  return sound ? frame : null;
}

function withMessage(frame: Readonly<{ t: 'message'; f: string; n: number }>, json: string): DataFrame | null {
  const m = parseJson(json);
  // Something is written before its last brace when it is sent on: there must be nothing behind that.
  return isSoundMessage(m) && json.endsWith('}') ? { ...frame, m, json } : null;
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
  return schema.safeParse(parseJson(text)).data ?? null;
}

/** Undefined for what is not even JSON: the caller counts it. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
