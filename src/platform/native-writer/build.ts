// node src/platform/native-writer/build.ts: builds the writer where later starts look for it. For images, whose running stage has
// no compiler. Exit code 1 when it cannot be had.
import { createLog } from '../log.ts';
import { loadNativeWriter } from './native-writer.ts';

if ((await loadNativeWriter(createLog({ level: 'info' }))) === null) process.exitCode = 1;
