import { once } from 'node:events';
import { connect as connectTo, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createMetrics } from './metrics.ts';
import { startTestPostgres, surroundings } from '../testing/postgres.ts';
import type { TestDatabase, TestPostgres } from '../testing/postgres.ts';
import { openDatabase } from './postgres.ts';

let server: TestPostgres;
let at: TestDatabase;

beforeAll(async () => {
  server = await startTestPostgres();
  at = await server.createDatabase();
  await at.runScript(`
    create table public.counters (id int primary key, value int not null);
    insert into public.counters values (1, 0), (2, 0);
    select platform.protect('public.counters', 'transaction');
    create function public.count_up(p_id int, p_by int) returns int language plpgsql security definer as $$
      begin
        perform set_config('tidewire.transaction', 'count', true);
        update public.counters set value = value + p_by where id = p_id;
        return p_by;
      end $$;
    grant select, update on public.counters to app_rw;
    grant execute on function public.count_up to app_rw;`);
});
afterAll(() => server.stop());

const countUp = (by: number, id = 1) => ({
  name: 'test.count',
  statement: sql`select public.count_up(${id}, ${by}) as value`,
});
async function valueOf(id: number): Promise<number> {
  const [row] = await at.admin`select value from public.counters where id = ${id}`;
  return Number(row!.value);
}

describe('commands', () => {
  it('are tried again after a serialization failure and a deadlock, and give up in the end', async () => {
    const metrics = createMetrics({ processMetrics: false });
    const database = await at.open({ metrics });
    await at.runScript(`
      create sequence public.tries;
      create function public.fail_at_first(p_times int, p_code text) returns int language plpgsql security definer as $$
        begin
          if nextval('public.tries') <= p_times then raise exception using errcode = p_code; end if;
          return currval('public.tries');
        end $$;
      grant execute on function public.fail_at_first to app_rw;`);
    for (const code of ['40001', '40P01', '55P03']) {
      await at.admin`select setval('public.tries', 1, false)`;
      const statement = sql`select public.fail_at_first(2, ${code}) as tries`;
      const rows = await database.runCommand({ name: 'test.retry', statement, repeatable: false });
      expect(rows[0]!.tries).toBe(3);
    }
    const hopeless = sql`select public.fail_at_first(1000000, '40001')`;
    await expect(
      database.runCommand({ name: 'test.hopeless', statement: hopeless, repeatable: true }),
    ).rejects.toMatchObject({ name: 'DatabaseFailure', kind: 'conflict' });
    const text = await metrics.render();
    expect(text).toContain('postgres_retries_total{name="test.retry",kind="conflict"} 6');
    expect(text).toMatch(/postgres_query_duration_ms_count\{name="test.retry"\} 9/);
  });

  it('are told apart: refused at once when too many wait', async () => {
    const database = await at.open({ size: 1 });
    const statement = sql`select pg_sleep(1)`;
    const calls = Array.from({ length: 1_002 }, () =>
      database.runCommand({ name: 'test.crowd', statement, repeatable: false }).then(
        () => 'ok',
        (error: { kind: string }) => error.kind,
      ),
    );
    const first = await Promise.race(calls);
    expect(first).toBe('overloaded');
    await database.stop();
    expect(new Set(await Promise.all(calls))).toEqual(new Set(['ok', 'overloaded', 'stopped']));
  });

  it('come through a restart of the server', async () => {
    const database = await at.open();
    const before = await valueOf(1);
    const calls = Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        await new Promise((settle) => setTimeout(settle, index * 10));
        await database.runCommand({ ...countUp(1), repeatable: false }).catch(() => {});
        return database.runCommand({ name: 'test.read', statement: sql`select 1 as one`, repeatable: true });
      }),
    );
    await server.server().stop('immediate');
    await server.restart();
    expect((await calls).flat()).toHaveLength(20);
    expect(await valueOf(1)).toBeGreaterThanOrEqual(before);
  });
});

describe('transactions', () => {
  it('happen together or not at all, and only protected writes inside them are let through', async () => {
    const database = await at.open();
    const [one, two] = [await valueOf(1), await valueOf(2)];
    await database.transaction({ name: 'test.move' }, async (tx) => {
      await tx.execute(sql`update public.counters set value = value - 5 where id = 1`);
      await tx.execute(sql`update public.counters set value = value + 5 where id = 2`);
    });
    await expect(
      database.transaction({ name: 'test.fail' }, async (tx) => {
        await tx.execute(sql`update public.counters set value = value - 5 where id = 1`);
        throw new Error('changed my mind');
      }),
    ).rejects.toThrow('changed my mind');
    expect([await valueOf(1), await valueOf(2)]).toEqual([one - 5, two + 5]);
    await expect(
      database.read('test.outside', (queries) => queries.execute(sql`update public.counters set value = 0`)),
    ).rejects.toMatchObject({ cause: { code: 'TW001' } });
  });

  it('do not pretend to have committed after an error that the caller overlooked', async () => {
    const database = await at.open();
    const before = await valueOf(1);
    const work = database.transaction({ name: 'test.overlook' }, async (tx) => {
      await tx.execute(sql`update public.counters set value = value + 1 where id = 1`);
      await tx.execute(sql`select 1 / 0`).catch(() => {});
    });
    await expect(work).rejects.toThrow(/overlooked/);
    expect(await valueOf(1)).toBe(before);
  });

  it('see one instant as a snapshot, and cannot write', async () => {
    const database = await at.open();
    await database.transaction({ name: 'test.snapshot', mode: 'snapshot' }, async (tx) => {
      const look = () => tx.execute<{ value: number }>(sql`select value from public.counters where id = 1`);
      const [first] = await look();
      await at.runScript(
        `begin; set local tidewire.transaction = 'x'; update public.counters set value = value + 1; commit`,
      );
      expect(await look()).toEqual([first]);
    });
    await expect(
      database.transaction({ name: 'test.snapshot', mode: 'snapshot' }, (tx) =>
        tx.execute(sql`update public.counters set value = 0`),
      ),
    ).rejects.toMatchObject({ cause: { code: '25006' } });
  });
});

/** Between us and the server; drops what the server says from the moment it is told to, and keeps the connection open. */
async function startMute() {
  let mute = false;
  const sockets: Socket[] = [];
  const proxy: Server = createServer((inside) => {
    const outside = connectTo(server.server().port);
    sockets.push(inside, outside);
    inside.pipe(outside);
    outside.on('data', (chunk) => void (mute || inside.write(chunk)));
    for (const [one, other] of [
      [inside, outside],
      [outside, inside],
    ] as const) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  }).listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const url = at.appUrl.replace(/:\d+\//, `:${(proxy.address() as AddressInfo).port}/`);
  return {
    url,
    dropAnswers: () => (mute = true),
    cut: () => sockets.splice(0).forEach((socket) => socket.destroy()),
    hear: () => (mute = false),
    stop: () => proxy.close(),
  };
}

describe('a connection whose answers get lost', () => {
  it('is told as an unknown outcome, and a command with a key finds out by itself', async () => {
    const mute = await startMute();
    const database = await openDatabase({ url: mute.url, role: 'app_rw', ...surroundings() });
    const before = await valueOf(1);
    for (const repeatable of [false, true]) {
      // Known to the connection already, the statement goes out in one piece and needs no answer in between.
      await database.runCommand({ ...countUp(0), repeatable: true });
      mute.dropAnswers();
      const call = database.runCommand({ ...countUp(1), repeatable });
      const settled = call.then(
        () => 'done',
        (error: { kind: string }) => error.kind,
      );
      await expect.poll(() => valueOf(1)).toBe(before + (repeatable ? 2 : 1));
      mute.hear();
      mute.cut();
      expect(await settled).toBe(repeatable ? 'done' : 'outcome_unknown');
    }
    // It has no key of its own: this is why only commands with one may be repeated.
    expect(await valueOf(1)).toBe(before + 3);
    await database.stop();
    mute.stop();
  });
});

// Each of these waits for a limit; they can wait together.
describe.concurrent('time limits', () => {
  it('cancel a command that takes too long', async () => {
    const database = await at.open();
    const statement = sql`select pg_sleep(20)`;
    await expect(database.runCommand({ name: 'test.slow', statement, repeatable: true })).rejects.toMatchObject({
      kind: 'timeout',
    });
  });

  it('give up waiting for a lock, and come through once it is free', async () => {
    const database = await at.open();
    const before = await valueOf(2);
    const held = at.admin.begin(async (tx) => {
      await tx.unsafe(`set local tidewire.transaction = 'x'; update public.counters set value = value where id = 2`);
      await new Promise((settle) => setTimeout(settle, 2_500));
    });
    await database.runCommand({ ...countUp(1, 2), repeatable: false });
    await held;
    expect(await valueOf(2)).toBe(before + 1);
  });

  it('give up a connection whose server freezes', { timeout: 30_000 }, async () => {
    const mute = await startMute();
    const database = await openDatabase({ url: mute.url, role: 'app_rw', ...surroundings() });
    await database.runCommand({ name: 'test.warm', statement: sql`select 1`, repeatable: true });
    mute.dropAnswers();
    const call = database.runCommand({ name: 'test.frozen', statement: sql`select 1`, repeatable: false });
    await expect(call).rejects.toMatchObject({ kind: 'outcome_unknown' });
    mute.hear();
    expect(
      await database.runCommand({ name: 'test.after', statement: sql`select 1 as one`, repeatable: false }),
    ).toEqual([{ one: 1 }]);
    await database.stop();
    mute.stop();
  });
});

describe('opening', () => {
  it('refuses a server that would lose what it acknowledged', async () => {
    const careless = await startTestPostgres({ settings: ['fsync=off'] }).catch((error: unknown) => error);
    if (careless instanceof Error) throw careless;
    const risky = await (careless as TestPostgres).createDatabase();
    await expect(risky.open()).rejects.toThrow(/fsync=off/);
    await (careless as TestPostgres).stop();
  });

  it('says that there is no server when there is none', async () => {
    const url = 'postgres://app_rw:x@127.0.0.1:1/none';
    await expect(openDatabase({ url, role: 'app_rw', ...surroundings() })).rejects.toThrow(/ECONNREFUSED/);
  });
});
