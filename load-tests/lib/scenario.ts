/** What a scenario needs of the world, so that k6 and the Node driver run the same code. */
export type SocketHandlers = Readonly<{
  /** Now it may send. What the server says in this very moment may be lost. */
  onOpen(): void;
  onText(text: string): void;
  onClose(): void;
}>;
export interface SocketPort {
  send(text: string): void;
  close(): void;
}
/** Something to send, if anything, and for how long to do nothing afterwards. */
export type Errand = Readonly<{ send?: string; waitMs: number }>;
/** Of a client that reads nothing while it is busy. */
export type SlowSocketHandlers = Readonly<{
  onOpen(socket: SocketPort): void;
  /** What to do before anything else is read. */
  onText(text: string, socket: SocketPort): readonly Errand[];
  /** Always, once, also when there never was a connection. */
  onClose(): void;
}>;
export type HttpRequest = Readonly<{
  method: 'GET' | 'POST' | 'DELETE';
  url: string;
  headers?: Readonly<Record<string, string>>;
  body?: string;
}>;
/** Status 0: there was no answer. */
export type HttpAnswer = Readonly<{ status: number; body: string }>;
export type World = Readonly<{
  /** Over a connection that is kept; never rejects. */
  request(request: HttpRequest): Promise<HttpAnswer>;
  connect(url: string, handlers: SocketHandlers): SocketPort;
  /** A client whose socket is really not read while it is busy. In k6 its user does nothing else. */
  connectSlowly(url: string, handlers: SlowSocketHandlers): void;
  /** Answers how to call it off: k6 ends a user only when no timer is left. */
  after(ms: number, action: () => void): () => void;
  /** Unix ms, as exact as the world has it. */
  now(): number;
  random(): number;
  /** One sample of a metric of the scenario's table. */
  record(metric: string, value: number): void;
  /** A statement that has to hold; k6 shows it among its checks. */
  check(name: string, holds: boolean): void;
}>;

export type MetricKind = 'trend' | 'counter' | 'rate';
export type Scenario = Readonly<{
  metrics: Readonly<Record<string, MetricKind>>;
  /** k6's threshold expressions, by metric. */
  thresholds: Readonly<Record<string, readonly string[]>>;
}>;
