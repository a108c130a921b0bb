/** RFC 6455: FIN and opcode 1 (text). */
const FIN_TEXT = 0x81;
/** RFC 7692: the payload is compressed. */
const RSV1 = 0x40;
const LENGTH_16_BITS = 126;
const LENGTH_64_BITS = 127;

/** The head of one whole unmasked server frame. */
export function textFrameHead(payloadBytes: number, compressed = false): Buffer {
  const head = Buffer.allocUnsafe(payloadBytes < LENGTH_16_BITS ? 2 : payloadBytes <= 0xffff ? 4 : 10);
  head[0] = compressed ? FIN_TEXT | RSV1 : FIN_TEXT;
  if (head.length === 2) {
    head[1] = payloadBytes;
  } else if (head.length === 4) {
    head[1] = LENGTH_16_BITS;
    head.writeUInt16BE(payloadBytes, 2);
  } else {
    head[1] = LENGTH_64_BITS;
    head.writeBigUInt64BE(BigInt(payloadBytes), 2);
  }
  return head;
}
