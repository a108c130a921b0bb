import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';

/** One import as it stands in a file; `to` is a path from the repository root for our own files, else a package name. */
export type ImportEdge = Readonly<{ from: string; to: string; typeOnly: boolean }>;
export type Violation = Readonly<{ rule: string; from: string; to: string }>;

/** Layer -> what it may import besides itself. An arrow that is not here does not exist. */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  'src/kernel/': [],
  'src/protocol/': ['src/kernel/'],
  'src/config/': ['src/kernel/', 'src/protocol/'],
  'src/platform/': ['src/kernel/', 'src/protocol/', 'src/config/'],
  'src/modules/': ['src/kernel/', 'src/protocol/', 'src/platform/'],
  'src/feed/': ['src/kernel/', 'src/protocol/', 'src/config/', 'src/platform/', 'src/modules/'],
  'src/sandbox/': ['src/kernel/', 'src/protocol/', 'src/config/', 'src/platform/'],
  'src/gateway/http/': ['src/kernel/', 'src/protocol/', 'src/config/', 'src/platform/', 'src/modules/'],
  'src/gateway/ws/': ['src/kernel/', 'src/protocol/', 'src/config/', 'src/platform/', 'src/modules/'],
  'src/client/': ['src/kernel/', 'src/protocol/'],
  'src/console/': ['src/kernel/', 'src/protocol/', 'src/client/'],
  'workers/': ['src/kernel/', 'src/protocol/', 'src/config/', 'src/platform/', 'src/modules/'],
  'load-tests/': ['src/kernel/', 'src/protocol/', 'src/client/'],
  'src/roles/': ['src/', 'workers/'],
  'src/main.ts': ['src/roles/', 'src/config/', 'src/kernel/'],
};

/** Outside libraries with one home each; everybody else talks to the home's own interface. */
const HOMES: Readonly<Record<string, RegExp>> = {
  ccxt: /^src\/feed\//,
  'socket.io': /^src\/gateway\/ws\//,
  '@socket.io/redis-adapter': /^src\/(gateway\/ws|roles)\//,
  fastify: /^src\/gateway\/http\//,
  ioredis: /^src\/platform\//,
  pino: /^src\/platform\//,
  'prom-client': /^src\/platform\//,
  'drizzle-orm': /^(src\/platform|src\/modules|drizzle)\//,
  postgres: /^src\/platform\//,
  preact: /^src\/console\//,
  'lightweight-charts': /^src\/console\//,
  vite: /^src\/console\/build\.ts$/,
};
/** All that the console's page may load; the file that builds it runs in Node. */
const CONSOLE_PACKAGES = new Set(['preact', 'lightweight-charts']);
const CONSOLE_BUILD = 'src/console/build.ts';

/** Modules may only look at those that stand before them. */
const MODULE_ORDER = ['identity', 'ledger', 'market', 'orders', 'portfolio'];
/** Doors of a module: the only files that others may import. `upstream` and `stream-cache` hold the market module's interfaces. */
const MODULE_DOOR = /^src\/modules\/[^/]+\/(index|events|upstream|stream-cache)\.ts$/;
const TEST_FILE = /(\.test\.tsx?$|^src\/testing\/|-contract\.ts$)/;

export function findViolations(edges: readonly ImportEdge[]): Violation[] {
  return edges.flatMap((edge) => rulesBrokenBy(edge).map((rule) => ({ rule, from: edge.from, to: edge.to })));
}

function rulesBrokenBy(edge: ImportEdge): string[] {
  const broken: string[] = [];
  if (TEST_FILE.test(edge.from)) return broken;
  const ours = /^(src|workers|load-tests|drizzle)\//.test(edge.to);
  if (!ours) return packageRulesBroken(edge);
  if (TEST_FILE.test(edge.to)) broken.push('no-tests-in-product');
  const layer = Object.keys(LAYERS).find((prefix) => edge.from.startsWith(prefix));
  if (layer === undefined) broken.push('file-has-a-layer');
  else if (!edge.to.startsWith(layer) && !LAYERS[layer]!.some((prefix) => edge.to.startsWith(prefix))) {
    broken.push(`layer ${layer}`);
  }
  return [...broken, ...moduleRulesBroken(edge)];
}

function packageRulesBroken(edge: ImportEdge): string[] {
  const name = edge.to.startsWith('@') ? edge.to.split('/').slice(0, 2).join('/') : edge.to.split('/')[0]!;
  const broken: string[] = [];
  const home = HOMES[name];
  if (home && !home.test(edge.from)) broken.push(`home-of ${name}`);
  if (edge.from.startsWith('src/kernel/') && name !== 'decimal.js') broken.push('kernel-has-no-packages');
  // zod would weigh more than the whole client; node built-ins do not exist in a browser.
  if (edge.from.startsWith('src/client/') && !edge.typeOnly) broken.push('client-runs-in-browsers');
  const bundled = edge.from.startsWith('src/console/') && edge.from !== CONSOLE_BUILD && !edge.typeOnly;
  if (bundled && !CONSOLE_PACKAGES.has(name)) {
    broken.push('console-runs-in-browsers');
  }
  return broken;
}

function moduleRulesBroken(edge: ImportEdge): string[] {
  const target = /^src\/modules\/([^/]+)\//.exec(edge.to)?.[1];
  if (target === undefined) return [];
  const own = /^src\/modules\/([^/]+)\//.exec(edge.from)?.[1];
  if (own === target) return [];
  const broken: string[] = [];
  if (!MODULE_DOOR.test(edge.to)) broken.push('modules-use-doors');
  if (own !== undefined && MODULE_ORDER.indexOf(target) > MODULE_ORDER.indexOf(own)) broken.push('module-order');
  return broken;
}

/** Everything after an import or re-export keyword; the tree has one style of import, which the formatter keeps. */
const IMPORT_PATTERN =
  /(?:^|\n)\s*(?:import|export)\s+(type\s+)?(?:[\w*{}\s,$]+?\s+from\s+)?'([^']+)'|import\(\s*'([^']+)'\s*\)/g;

export function importsOf(file: string, text: string): ImportEdge[] {
  return [...text.matchAll(IMPORT_PATTERN)].map((match) => {
    const specifier = (match[2] ?? match[3])!;
    const to = specifier.startsWith('.') ? normalize(join(dirname(file), specifier)) : specifier;
    return { from: file, to, typeOnly: match[1] !== undefined };
  });
}

export function sourceFiles(root: string): string[] {
  const folders = ['src', 'workers', 'load-tests', 'drizzle'].filter((folder) => existsSync(join(root, folder)));
  return folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
      .map((entry) => relative(root, join(entry.parentPath, entry.name))),
  );
}

export function treeEdges(root: string): ImportEdge[] {
  return sourceFiles(root).flatMap((file) => importsOf(file, readFileSync(join(root, file), 'utf8')));
}
