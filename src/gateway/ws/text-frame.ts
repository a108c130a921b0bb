/** RFC 6455: FIN and opcode 1 (text). */
const FIN_TEXT = 0x81;
const LENGTH_16_BITS = 126;
const LENGTH_64_BITS = 127;

/**
 * One whole unmasked server frame with `prefix + json + suffix` as its text, in a single buffer, so that it leaves in one
 * write and one copy serves all receivers. `prefix` and `suffix` must be ASCII.
 */
export function textFrame(prefix: string, json: string, suffix: string): Buffer {
  const payloadBytes = prefix.length + Buffer.byteLength(json) + suffix.length;
  const headerBytes = payloadBytes < LENGTH_16_BITS ? 2 : payloadBytes <= 0xffff ? 4 : 10;
  const frame = Buffer.allocUnsafe(headerBytes + payloadBytes);
  frame[0] = FIN_TEXT;
  if (headerBytes === 2) {
    frame[1] = payloadBytes;
  } else if (headerBytes === 4) {
    frame[1] = LENGTH_16_BITS;
    frame.writeUInt16BE(payloadBytes, 2);
  } else {
    frame[1] = LENGTH_64_BITS;
    frame.writeBigUInt64BE(BigInt(payloadBytes), 2);
  }
  let offset = headerBytes;
  offset += frame.write(prefix, offset, 'latin1');
  offset += frame.write(json, offset, 'utf8');
  frame.write(suffix, offset, 'latin1');
  return frame;
}
