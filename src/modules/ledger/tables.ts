import { sql } from 'drizzle-orm';
import {
  bigint,
  boolean,
  customType,
  integer,
  jsonb,
  numeric,
  pgSchema,
  smallint,
  text,
  timestamp,
  uuid,
} from 'drizzle-orm/pg-core';
import type { PrivateStream } from '../../protocol/trading.ts';

/**
 * The ledger's tables as drizzle reads them. The migrations in `drizzle/` are what makes them, with every constraint and
 * trigger; a test holds the two together. Nothing is written through these: only the functions of migration 0004 may.
 */
export const ledgerSchema = pgSchema('ledger');

const units = (name: string) => numeric(name, { precision: 38, scale: 0, mode: 'bigint' });
const id = (name: string) => bigint(name, { mode: 'bigint' });
const bytes = customType<{ data: Buffer }>({ dataType: () => 'bytea' });
const createdAt = () =>
  timestamp('created_at', { withTimezone: true })
    .notNull()
    .default(sql`now()`);

export const assets = ledgerSchema.table('assets', {
  code: text('code').primaryKey(),
  scale: smallint('scale').notNull(),
  createdAt: createdAt(),
});

export const accountKinds = ledgerSchema.table('account_kinds', {
  kind: text('kind').primaryKey(),
  owned: boolean('owned').notNull(),
  overdraft: boolean('overdraft').notNull(),
  deferred: boolean('deferred').notNull(),
  meaning: text('meaning').notNull(),
});

export const accounts = ledgerSchema.table('accounts', {
  id: id('id').primaryKey().generatedAlwaysAsIdentity(),
  ownerId: uuid('owner_id'),
  asset: text('asset').notNull(),
  kind: text('kind').notNull(),
  label: text('label').notNull().default(''),
  owned: boolean('owned').notNull(),
  overdraft: boolean('overdraft').notNull(),
  deferred: boolean('deferred').notNull(),
  posted: units('posted').notNull(),
  held: units('held').notNull(),
  version: id('version').notNull(),
  createdAt: createdAt(),
});

export const journals = ledgerSchema.table('journals', {
  id: id('id').primaryKey(),
  scope: text('scope').notNull(),
  key: text('key').notNull(),
  requestHash: bytes('request_hash').notNull(),
  kind: text('kind').notNull(),
  referenceType: text('reference_type'),
  referenceId: text('reference_id'),
  actor: text('actor').notNull(),
  requestId: text('request_id'),
  reverses: id('reverses'),
  answer: jsonb('answer').notNull(),
  createdAt: createdAt(),
});

export const holds = ledgerSchema.table('holds', {
  id: id('id').primaryKey(),
  accountId: id('account_id').notNull(),
  purpose: text('purpose').notNull(),
  referenceId: text('reference_id').notNull(),
  amount: units('amount').notNull(),
  captured: units('captured').notNull(),
  released: units('released').notNull(),
  version: id('version').notNull(),
  expiresAt: timestamp('expires_at', { withTimezone: true }),
  createdAt: createdAt(),
});

export const transfers = ledgerSchema.table('transfers', {
  journalId: id('journal_id').notNull(),
  leg: smallint('leg').notNull(),
  asset: text('asset').notNull(),
  debitId: id('debit_id').notNull(),
  creditId: id('credit_id').notNull(),
  amount: units('amount').notNull(),
  code: text('code').notNull(),
  holdId: id('hold_id'),
});

export const holdEvents = ledgerSchema.table('hold_events', {
  holdId: id('hold_id').notNull(),
  seq: id('seq').notNull(),
  kind: text('kind').notNull(),
  placed: units('placed').notNull(),
  captured: units('captured').notNull(),
  released: units('released').notNull(),
  journalId: id('journal_id').notNull(),
});

export const entries = ledgerSchema.table('entries', {
  accountId: id('account_id').notNull(),
  version: id('version').notNull(),
  journalId: id('journal_id').notNull(),
  postedChange: units('posted_change').notNull(),
  heldChange: units('held_change').notNull(),
  posted: units('posted').notNull(),
  held: units('held').notNull(),
});

export const deferredLegs = ledgerSchema.table('deferred_legs', {
  journalId: id('journal_id').notNull(),
  accountId: id('account_id').notNull(),
  change: units('change').notNull(),
});

export const eventHeads = ledgerSchema.table('event_heads', {
  userId: uuid('user_id').primaryKey(),
  seq: bigint('seq', { mode: 'number' }).notNull(),
  ordersSeq: bigint('orders_seq', { mode: 'number' }).notNull(),
  portfolioSeq: bigint('portfolio_seq', { mode: 'number' }).notNull(),
  notificationsSeq: bigint('notifications_seq', { mode: 'number' }).notNull(),
});

export const userEvents = ledgerSchema.table('user_events', {
  userId: uuid('user_id').notNull(),
  seq: bigint('seq', { mode: 'number' }).notNull(),
  type: text('type').notNull(),
  payload: jsonb('payload').$type<Readonly<Record<string, unknown>>>().notNull(),
  journalId: id('journal_id'),
  createdAt: createdAt(),
  stream: text('stream').$type<PrivateStream>().notNull(),
  streamSeq: bigint('stream_seq', { mode: 'number' }).notNull(),
});

/** The last row names the history that numbers of events belong to. */
export const eventEpochs = ledgerSchema.table('event_epochs', {
  id: integer('id').primaryKey().generatedAlwaysAsIdentity(),
  epoch: text('epoch').notNull(),
  beganAt: timestamp('began_at', { withTimezone: true }).notNull(),
});

/** Balances of all accounts, legs that wait for the roll-up included. */
export const balances = ledgerSchema
  .view('balances', {
    id: id('id').notNull(),
    ownerId: uuid('owner_id'),
    asset: text('asset').notNull(),
    kind: text('kind').notNull(),
    label: text('label').notNull(),
    version: id('version').notNull(),
    deferred: boolean('deferred').notNull(),
    posted: units('posted').notNull(),
    held: units('held').notNull(),
  })
  .existing();
