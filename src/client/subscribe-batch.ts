import type { SubscribeRequest } from '../protocol/messages.ts';

export type StreamRequest = SubscribeRequest['streams'][number];
export type BatchLimits = Readonly<{ streamsPerRequest: number; inboundBytes: number }>;

/** The request around the list, on either door. */
const FRAME_BYTES = 128;

const encoder = new TextEncoder();

/** The first of `requests` that fit into one message, at least one: a single name is always shorter than a message may be. */
export function firstBatch(requests: readonly StreamRequest[], limits: BatchLimits): readonly StreamRequest[] {
  let bytes = FRAME_BYTES;
  let count = 0;
  while (count < requests.length && count < limits.streamsPerRequest) {
    // Symbols may hold any letters, so characters are not bytes.
    bytes += encoder.encode(JSON.stringify(requests[count])).length + 1;
    if (bytes > limits.inboundBytes && count > 0) break;
    count += 1;
  }
  return requests.slice(0, count);
}
