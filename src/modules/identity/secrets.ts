import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
} from 'node:crypto';
import { hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { assert } from '../../kernel/assert.ts';

const SECRET_LENGTH_LIMIT = 32;
const SECRET_BYTES = 32;
const IV_BYTES = 12;
const TAG_BYTES = 16;
const MAC_BYTES = 16;
/** An Ed25519 private key in PKCS #8 is this and then its 32-byte seed. */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');

/** Everything derived from one secret. `id` names it in tokens and sealed texts, and tells nothing about it. */
type KeySet = Readonly<{
  id: string;
  signing: Readonly<{ privateKey: KeyObject; publicKey: KeyObject }>;
  sealing: Buffer;
  macing: Buffer;
}>;

/** Keys shared by all processes: they derive them from the same secret. */
export type Keyring = Readonly<{
  signingKey: Readonly<{ id: string; privateKey: KeyObject }>;
  publicKey(id: string): KeyObject | null;
  /** AES-256-GCM. `owner` is authenticated: a sealed text that was moved to another row does not open. */
  seal(plain: string, owner: string): string;
  /** Throws when it was changed, moved, or sealed under a secret that is gone. */
  unseal(sealed: string, owner: string): string;
  /** 16 bytes over what stands for itself, such as the visible part of a refresh token. */
  mac(purpose: string, message: Uint8Array): Buffer;
  macFits(purpose: string, message: Uint8Array, mac: Uint8Array): boolean;
}>;

export function createKeyring(secret: string, retired: readonly string[]): Keyring {
  const sets = [secret, ...retired].map(deriveKeys);
  const current = sets[0]!;
  const byId = new Map(sets.map((set) => [set.id, set]));
  return {
    signingKey: { id: current.id, privateKey: current.signing.privateKey },
    publicKey: (id) => byId.get(id)?.signing.publicKey ?? null,
    seal: (plain, owner) => `${current.id}.${encrypt(current.sealing, plain, owner).toString('base64url')}`,
    unseal(sealed, owner) {
      const [id = '', body = ''] = sealed.split('.');
      const set = byId.get(id);
      if (!set) throw new Error('identity: sealed under a secret that is neither current nor among the retired ones');
      return decrypt(set.sealing, Buffer.from(body, 'base64url'), owner);
    },
    mac: (purpose, message) => macOf(current, purpose, message),
    macFits: (purpose, message, mac) =>
      mac.length === MAC_BYTES && sets.some((set) => timingSafeEqual(macOf(set, purpose, message), mac)),
  };
}

function deriveKeys(secret: string): KeySet {
  assert(secret.length >= SECRET_LENGTH_LIMIT, 'identity: the signing secret has 32 characters or more');
  const derive = (purpose: string, bytes: number) =>
    Buffer.from(hkdfSync('sha256', secret, 'tidewire identity 1', purpose, bytes));
  const seed = Buffer.concat([PKCS8_PREFIX, derive('access tokens: ed25519', 32)]);
  const privateKey = createPrivateKey({ key: seed, format: 'der', type: 'pkcs8' });
  return {
    id: derive('id', 6).toString('base64url'),
    signing: { privateKey, publicKey: createPublicKey(privateKey) },
    sealing: derive('stored secrets: aes-256-gcm', 32),
    macing: derive('tokens and operations: hmac-sha256', 32),
  };
}

function macOf(set: KeySet, purpose: string, message: Uint8Array): Buffer {
  return createHmac('sha256', set.macing).update(`${purpose}\0`).update(message).digest().subarray(0, MAC_BYTES);
}

function encrypt(key: Buffer, plain: string, owner: string): Buffer {
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(owner, 'utf8'));
  return Buffer.concat([iv, cipher.update(plain, 'utf8'), cipher.final(), cipher.getAuthTag()]);
}

function decrypt(key: Buffer, sealed: Buffer, owner: string): string {
  if (sealed.length < IV_BYTES + TAG_BYTES) throw new Error('identity: a sealed text is too short');
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(owner, 'utf8')).setAuthTag(sealed.subarray(-TAG_BYTES));
  return Buffer.concat([decipher.update(sealed.subarray(IV_BYTES, -TAG_BYTES)), decipher.final()]).toString('utf8');
}

/** 256 random bits, base64url: what nobody can guess needs no slow hash. */
export function newSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64url');
}

/** What is stored of a secret: SHA-256, hex. */
export function hashOf(secret: string): string {
  return createHash('sha256').update(secret, 'utf8').digest('hex');
}
