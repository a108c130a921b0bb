import { z } from 'zod';
import { TimestampMs } from './messages.ts';

/** Shapes of everything about users, sessions and keys. Passwords, codes and tokens only ever go in, or out once. */
export const UserId = z.uuid().meta({ id: 'UserId', description: 'Opaque' });
/** Compared in lower case. Not more than a shape: whether mail arrives is not known. */
export const Email = z
  .string()
  .min(3)
  .max(254)
  .regex(/^[^\s@\p{C}]{1,64}@[^\s@\p{C}]+\.[^\s@\p{C}]+$/u)
  .meta({ id: 'Email', examples: ['ada@example.com'] });
export const NewPassword = z.string().min(8).max(256).meta({ id: 'NewPassword', description: 'Any characters' });
const Password = z.string().min(1).max(256);
/** A code of an authenticator app, or a recovery code. */
const SecondFactor = z.string().regex(/^(?:[0-9]{6}|[A-Z2-7]{5}(?:-[A-Z2-7]{5}){3})$/);
const Token = z.string().min(16).max(4096);
const Label = z.string().regex(/^[^\p{C}]{1,64}$/u);

export const ROLES = ['user', 'admin'] as const;
export type Role = (typeof ROLES)[number];
/** `read` looks, `trade` orders; nothing that moves money out exists for keys. */
export const KEY_SCOPES = ['read', 'trade'] as const;
export type KeyScope = (typeof KEY_SCOPES)[number];

export const UserSchema = z
  .strictObject({
    id: UserId,
    email: Email,
    roles: z.array(z.enum(ROLES)),
    totp: z.boolean().meta({ description: 'a second factor is on' }),
    createdAt: TimestampMs,
  })
  .meta({ id: 'User' });

export const RegisterBody = z.strictObject({ email: Email, password: NewPassword, device: Label.exactOptional() });
export const LoginBody = z.strictObject({
  email: Email,
  password: Password,
  code: SecondFactor.exactOptional().meta({ description: 'needed when a second factor is on' }),
  device: Label.exactOptional(),
});
export const RefreshBody = z.strictObject({ refreshToken: Token });
export const SessionGrantSchema = z
  .strictObject({
    user: UserSchema,
    accessToken: z.string(),
    refreshToken: z.string(),
    expiresAt: TimestampMs.meta({ description: 'when the access token ends' }),
    deviceToken: z.string().optional().meta({
      description: 'send it as X-Device-Token with later logins: a known device is not locked out by strangers',
    }),
  })
  .meta({ id: 'SessionGrant' });

export const SessionSchema = z
  .strictObject({
    id: z.string(),
    device: z.string().nullable(),
    ip: z.string(),
    userAgent: z.string().nullable(),
    createdAt: TimestampMs,
    lastUsedAt: TimestampMs,
    expiresAt: TimestampMs,
    current: z.boolean(),
  })
  .meta({ id: 'Session' });
export const SessionsAnswer = z.strictObject({ sessions: z.array(SessionSchema) }).meta({ id: 'Sessions' });

export const PasswordBody = z.strictObject({ password: Password, newPassword: NewPassword });
export const TotpSetupSchema = z
  .strictObject({ secret: z.string(), uri: z.string().meta({ description: 'otpauth: address for a QR code' }) })
  .meta({ id: 'TotpSetup' });
export const TotpConfirmBody = z.strictObject({ code: z.string().regex(/^[0-9]{6}$/) });
export const RecoveryCodesSchema = z
  .strictObject({ recoveryCodes: z.array(z.string()).meta({ description: 'shown once; each works once' }) })
  .meta({ id: 'RecoveryCodes' });

/** What a step-up may stand for; `operation` holds the exact fields of the act that it confirms. */
export const STEP_UP_ACTS = ['key_create', 'totp_disable', 'recovery_codes', 'password_change'] as const;
export type StepUpAct = (typeof STEP_UP_ACTS)[number];
export const StepUpBody = z.strictObject({
  act: z.enum(STEP_UP_ACTS),
  operation: z.record(z.string().max(64), z.unknown()).meta({ description: 'the body of the request to come' }),
  password: Password.exactOptional(),
  code: SecondFactor.exactOptional(),
});
export const StepUpSchema = z
  .strictObject({ stepUpToken: z.string(), expiresAt: TimestampMs })
  .meta({ id: 'StepUp', description: 'Send it as X-Step-Up-Token; good once, for this operation only' });

export const KeyCreateBody = z.strictObject({
  label: Label,
  scopes: z.array(z.enum(KEY_SCOPES)).min(1).max(2),
  ipAllowList: z.array(z.string().max(64)).max(32).optional(),
  algorithm: z.enum(['ed25519', 'hmac-sha256']),
  publicKey: z.string().max(1024).optional().meta({ description: 'PEM (SPKI); with ed25519 only' }),
});
export const ApiKeySchema = z
  .strictObject({
    id: z.string(),
    label: z.string(),
    scopes: z.array(z.enum(KEY_SCOPES)),
    ipAllowList: z.array(z.string()),
    algorithm: z.enum(['ed25519', 'hmac-sha256']),
    createdAt: TimestampMs,
    expiresAt: TimestampMs.nullable(),
    lastUsedAt: TimestampMs.nullable(),
    lastUsedIp: z.string().nullable(),
    lastUsedRoute: z.string().nullable(),
  })
  .meta({ id: 'ApiKey' });
export const NewApiKeySchema = z
  .strictObject({
    key: ApiKeySchema,
    secret: z.string().nullable().meta({ description: 'shown once; null for ed25519' }),
  })
  .meta({ id: 'NewApiKey' });
export const ApiKeysAnswer = z.strictObject({ keys: z.array(ApiKeySchema) }).meta({ id: 'ApiKeys' });

export const TicketSchema = z
  .strictObject({ ticket: z.string(), expiresAt: TimestampMs })
  .meta({ id: 'Ticket', description: 'Opens one socket: `authenticate {ticket}` within its time, once' });

export const AuditEntrySchema = z
  .strictObject({
    seq: z.int(),
    at: TimestampMs,
    act: z.string(),
    outcome: z.enum(['ok', 'refused']),
    ip: z.string().nullable(),
    requestId: z.string().nullable(),
    details: z.record(z.string(), z.unknown()),
    hash: z.string().meta({ description: 'hex; covers this entry and the hash before it' }),
  })
  .meta({ id: 'AuditEntry' });
export const AuditVerificationSchema = z
  .strictObject({
    entries: z.int(),
    brokenAt: z.int().nullable().meta({ description: 'the first entry that is not as it was written' }),
    head: z.string().meta({ description: 'hex; the hash of the last entry' }),
  })
  .meta({ id: 'AuditVerification' });
/** By an admin, for somebody else. */
export const RolesBody = z.strictObject({
  email: Email,
  roles: z.array(z.enum(ROLES)).max(ROLES.length).meta({ description: 'none suspends the user' }),
});
export const AuditAnswer = z
  .strictObject({ entries: z.array(AuditEntrySchema), nextCursor: z.string().nullable() })
  .meta({ id: 'Audit' });

export type User = z.infer<typeof UserSchema>;
export type SessionGrant = z.infer<typeof SessionGrantSchema>;
export type Session = z.infer<typeof SessionSchema>;
export type ApiKey = z.infer<typeof ApiKeySchema>;
export type NewApiKey = z.infer<typeof NewApiKeySchema>;
export type KeyCreate = z.infer<typeof KeyCreateBody>;
export type AuditEntry = z.infer<typeof AuditEntrySchema>;
