/** Whoever starts a loop, timer or socket stops it. `stop` may be called twice and waits for in-flight work. */
export interface Service {
  start(): Promise<void>;
  stop(): Promise<void>;
}
