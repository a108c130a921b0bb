/** What a trader wants done, as it goes over the wire. `key`: of the header Idempotency-Key. */
export type Act = 'place' | 'place_list' | 'amend' | 'cancel' | 'cancel_all' | 'funds';
export type Wish = Readonly<{
  act: Act;
  method: 'POST' | 'PATCH' | 'DELETE';
  path: string;
  body?: Readonly<Record<string, unknown>>;
  key?: string;
  /** The order that it is about. */
  orderId?: string;
}>;
/** What the answer said that can be looked up later. */
export type Told = Readonly<{ orderIds: readonly string[]; journalId?: string }>;

/** The last outcome of a number counts; each line is on disk before the trader goes on. */
export type TraderLine =
  | Readonly<{ type: 'intent'; number: number; wish: Wish }>
  | Readonly<{ type: 'ok'; number: number; told: Told; repeated: boolean }>
  | Readonly<{ type: 'fail'; number: number; code: string }>
  | Readonly<{ type: 'unknown'; number: number }>
  | Readonly<{ type: 'wrong'; what: string }>;

export type TraderRecord = Readonly<{ userId: string; lines: readonly TraderLine[] }>;
