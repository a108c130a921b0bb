import type { Command } from '../config/command-line.ts';
import type { Config } from '../config/schema.ts';
import { createLog } from '../platform/log.ts';
import type { Log } from '../platform/log.ts';
import { startDatabaseCommand } from './database-commands.ts';
import type { Running } from './parts.ts';
import { StartFailure } from './start-failure.ts';
import { startSupervisor } from './supervisor.ts';
import { startServer } from './wiring.ts';

/** After a clean stop nothing should be left that keeps the process alive; this long is given to prove it. */
const IDLE_EXIT_MS = 2_000;

type WorkCommand = Exclude<Command, { name: 'help' }>;

/** Runs one command to its end: a signal stops it in order, a second one or the deadline at once, an unforeseen error at once. */
export async function runProcess(config: Config, command: WorkCommand): Promise<void> {
  const log = createLog({ level: config.logLevel });
  // Also what a promise rejected with and nobody caught. The state is unknown from here on: only a new process is sure of itself.
  process.on('uncaughtException', (error, origin) => {
    log.fatal({ event: 'uncaught', origin, err: error });
    process.exit(1);
  });
  const starting = startCommand(config, command, log);
  const signal = firstSignal(log, config.shutdownTimeoutMs);
  try {
    const running = await starting;
    await Promise.race([running.finished, signal]);
    await running.stop();
    endWhenIdle(log);
  } catch (error) {
    const cannotStart = error instanceof StartFailure;
    const reason = error instanceof Error ? error.message : String(error);
    log.fatal({ event: cannotStart ? 'start_failed' : 'failed', reason, ...(cannotStart ? {} : { err: error }) });
    process.stderr.write(`tidewire ${cannotStart ? 'cannot start' : 'failed'}: ${reason}\n`);
    process.exit(1);
  }
}

async function startCommand(config: Config, command: WorkCommand, log: Log): Promise<Running> {
  switch (command.name) {
    case 'serve':
      return config.workers > 1 ? startSupervisor(config, log) : startServer(config, log);
    case 'record': {
      // Loads ccxt into this thread, which a server leaves to threads of its own.
      const { startRecording } = await import('./record.ts');
      return startRecording(command, log);
    }
    default:
      return startDatabaseCommand(command, config, log, (text) => void process.stdout.write(text));
  }
}

/** Resolves at the first signal; from then on the clock runs. */
function firstSignal(log: Log, timeoutMs: number): Promise<void> {
  return new Promise((resolve) => {
    let stopping = false;
    const onSignal = (signal: NodeJS.Signals): void => {
      if (stopping) return endByForce(log, 'second signal');
      stopping = true;
      log.info({ event: 'stopping', signal });
      setTimeout(() => endByForce(log, 'shutdown took too long'), timeoutMs).unref();
      resolve();
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
    // A server that was started by another one must not outlive it.
    process.once('disconnect', () => {
      if (!stopping) onSignal('SIGHUP');
    });
  });
}

function endByForce(log: Log, reason: string): void {
  log.error({ event: 'stop_forced', reason });
  process.exit(1);
}

function endWhenIdle(log: Log): void {
  log.info({ event: 'stopped' });
  process.exitCode = 0;
  // The channel to whoever started this process would keep it alive.
  if (process.connected) process.disconnect();
  setTimeout(() => {
    log.warn({ event: 'handles_left', handles: process.getActiveResourcesInfo() });
    process.exit(0);
  }, IDLE_EXIT_MS).unref();
}
