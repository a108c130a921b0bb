import { describeProblems, loadFromProcess } from './config/load.ts';
import { USAGE } from './config/command-line.ts';

const loaded = loadFromProcess();
if (!loaded.ok) {
  process.stderr.write(describeProblems(loaded.problems));
  process.exitCode = 1;
} else if (loaded.command.name === 'help') {
  process.stdout.write(USAGE);
} else {
  // Loaded only now: a wrong setting is told at once, not after a second of reading libraries.
  const { runProcess } = await import('./roles/process.ts');
  await runProcess(loaded.config, loaded.command);
}
