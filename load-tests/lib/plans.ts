import { FANOUT, runFanoutUser } from './fanout-scenario.ts';
import { ORDERS, readOrdersSettings, runOrdersUser } from './orders-scenario.ts';
import { judged, together } from './plan.ts';
import type { Environment, Plan } from './plan.ts';
import { RECONNECT, RECONNECT_STORM, runReconnectUser } from './reconnect-scenario.ts';
import { FANOUT_SHAPES, RECONNECT_SHAPES, readNumber, readSettings, readShape, secondsOf } from './settings.ts';
import { SLOW, runDeafUser, runNappingUser, runWatcher } from './slow-scenario.ts';

/** Each scenario by its name. A plan reads its own knobs. */
export const PLANS = {
  'market-fanout': marketFanout,
  reconnect,
  orders,
  'slow-consumers': slowConsumers,
  'orders-market': ordersUnderMarketLoad,
} as const satisfies Record<string, (env: Environment) => Plan>;

function marketFanout(env: Environment): Plan {
  const shape = readShape(env.SHAPE, FANOUT_SHAPES);
  const settings = { ...readSettings(env, { users: 50, seconds: secondsOf(shape) }), shape };
  return {
    scenario: judged(FANOUT, env),
    durationMs: settings.durationMs,
    parts: { users: { users: settings.users, run: (world, user) => runFanoutUser(world, settings, user) } },
  };
}

function reconnect(env: Environment): Plan {
  const shape = readShape(env.SHAPE, RECONNECT_SHAPES);
  const settings = {
    shape,
    ...readSettings(env, { users: 20, seconds: 20 }),
    cycles: readNumber('CYCLES', env.CYCLES, 5),
    pauseMaxMs: readNumber('PAUSE_MAX_MS', env.PAUSE_MAX_MS, 2_000),
  };
  return {
    scenario: judged(shape === 'storm' ? RECONNECT_STORM : RECONNECT, env),
    durationMs: settings.durationMs,
    parts: { users: { users: settings.users, run: (world, user) => runReconnectUser(world, settings, user) } },
  };
}

function orders(env: Environment): Plan {
  const settings = readOrdersSettings(env, readSettings(env, { users: 50, seconds: 20 }));
  return {
    scenario: judged(ORDERS, env),
    durationMs: settings.readyMs + settings.durationMs,
    parts: { users: { users: settings.users, run: (world, user) => runOrdersUser(world, settings, user) } },
  };
}

/** Healthy subscribers beside such as nap and such as never read again. */
function slowConsumers(env: Environment): Plan {
  const settings = { ...readSettings(env, { users: 50, seconds: 25 }), shape: 'steady' } as const;
  const slow = Math.max(2, readNumber('SLOW', env.SLOW, 6));
  const deaf = Math.floor(slow / 2);
  const opsUrl = env.OPS_URL ?? '';
  return {
    scenario: judged(together(FANOUT, SLOW), env),
    durationMs: settings.durationMs,
    parts: {
      healthy: { users: settings.users, run: (world, user) => runFanoutUser(world, settings, user) },
      napping: { users: slow - deaf, run: (world, user) => runNappingUser(world, settings, user) },
      deaf: { users: deaf, run: (world, user) => runDeafUser(world, settings, user) },
      watcher: {
        users: opsUrl === '' ? 0 : 1,
        run: (world) => runWatcher(world, { opsUrl, durationMs: settings.durationMs, deaf }),
      },
    },
  };
}

/** Traders whose server has a market to fan out at the same time. */
function ordersUnderMarketLoad(env: Environment): Plan {
  const subscribing = readSettings(env, { users: 50, seconds: 20 });
  const traders = readNumber('TRADERS', env.TRADERS, 20);
  const trading = readOrdersSettings({ ...env, RATE: env.RATE || '100' }, { ...subscribing, users: traders });
  // There from before the first order until after the last one.
  const durationMs = trading.readyMs + trading.durationMs;
  const watching = { ...subscribing, durationMs, shape: 'steady' } as const;
  return {
    scenario: judged(together(FANOUT, ORDERS), env),
    durationMs,
    parts: {
      subscribers: { users: watching.users, run: (world, user) => runFanoutUser(world, watching, user) },
      traders: { users: trading.users, run: (world, user) => runOrdersUser(world, trading, user) },
    },
  };
}
