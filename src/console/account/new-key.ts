/** For `Idempotency-Key`. `crypto.randomUUID` does not exist on pages that came over plain http. */
export function newKey(): string {
  return [...crypto.getRandomValues(new Uint32Array(4))].map((word) => word.toString(36)).join('-');
}
