export { Faults } from './faults.ts';
export { openRecording } from './recording-folder.ts';
export { startSandbox } from './server.ts';
export type { Sandbox, SandboxOptions } from './server.ts';
export { SANDBOX_VENUES } from './tape.ts';
export type { SandboxVenue, TapeSource } from './tape.ts';
