import { argon2, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Metrics } from '../../platform/metrics.ts';

/** OWASP's first choice of 2025: 19 MiB, two passes, one lane. */
const MEMORY_KIB = 19_456;
const PASSES = 2;
const LANES = 1;
const SALT_BYTES = 16;
const TAG_BYTES = 32;
/** 2 x 19 MiB at once; more would only take the thread pool's other work the processor. */
const RUNNING_LIMIT = 2;
/** About 3 s of work at 75 ms each. Beyond it callers are sent away: nobody waits for an answer that comes later. */
const WAITING_LIMIT = 64;
/** Bounds of what a stored text may ask of us. */
const MEMORY_KIB_LIMIT = 262_144;
const PASSES_LIMIT = 16;

const PHC =
  /^\$argon2id\$v=19\$m=([1-9][0-9]{0,6}),t=([1-9][0-9]?),p=([1-9])\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$/;

type Cost = Readonly<{ memory: number; passes: number; parallelism: number; tagLength: number }>;
const COST: Cost = { memory: MEMORY_KIB, passes: PASSES, parallelism: LANES, tagLength: TAG_BYTES };

/** Null: too many are waiting; nothing was computed. */
export type Passwords = Readonly<{
  hash(password: string): Promise<string | null>;
  /** Takes as long when there is nothing to compare with. */
  verify(password: string, stored: string | null): Promise<boolean | null>;
}>;

export function createPasswords(metrics: Metrics, waitingLimit = WAITING_LIMIT): Passwords {
  const waiting: (() => void)[] = [];
  let running = 0;
  const busy = metrics.counter('identity_password_busy_total', 'Password hashes refused because too many were waiting');
  const hashes = metrics.counter('identity_password_hashes_total', 'Password hashes computed, also of nobody');
  const inTurn = async <T>(work: () => Promise<T>): Promise<T | null> => {
    if (running >= RUNNING_LIMIT) {
      if (waiting.length >= waitingLimit) {
        busy.inc({});
        return null;
      }
      await new Promise<void>((resolve) => waiting.push(resolve));
    } else running += 1;
    hashes.inc({});
    try {
      return await work();
    } finally {
      // The turn is handed over, so that nobody who comes now gets in between.
      const next = waiting.shift();
      if (next) next();
      else running -= 1;
    }
  };
  return {
    hash: (password) => inTurn(() => hashPassword(password)),
    verify: (password, stored) => inTurn(() => verifyPassword(password, stored ?? NOBODY)),
  };
}

async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const tag = await derive(password, salt, COST);
  return `$argon2id$v=19$m=${MEMORY_KIB},t=${PASSES},p=${LANES}$${unpadded(salt)}$${unpadded(tag)}`;
}

async function verifyPassword(password: string, stored: string): Promise<boolean> {
  const [, memory, passes, parallelism, salt, tag] = PHC.exec(stored) ?? [];
  if (salt === undefined || tag === undefined) throw new Error('identity: a stored password hash cannot be read');
  const expected = Buffer.from(tag, 'base64');
  const cost = { memory: Number(memory), passes: Number(passes), parallelism: Number(parallelism) };
  if (cost.memory > MEMORY_KIB_LIMIT || cost.passes > PASSES_LIMIT)
    throw new Error('identity: a stored password hash asks for too much work');
  const found = await derive(password, Buffer.from(salt, 'base64'), { ...cost, tagLength: expected.length });
  return timingSafeEqual(found, expected);
}

/** No password has it: its tag is random. */
const NOBODY = `$argon2id$v=19$m=${MEMORY_KIB},t=${PASSES},p=${LANES}$${unpadded(randomBytes(SALT_BYTES))}$${unpadded(randomBytes(TAG_BYTES))}`;

/** Keyboards write one letter in several ways; NFC makes them one. Nothing is cut off. */
function derive(password: string, salt: Buffer, cost: Cost): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    argon2('argon2id', { message: password.normalize('NFC'), nonce: salt, ...cost }, (error, tag) =>
      error ? reject(error) : resolve(Buffer.from(tag)),
    );
  });
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '');
}
