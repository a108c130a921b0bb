import { readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, it } from 'vitest';
import { ROLE_NAMES, VARIABLE_NAMES } from '../config/schema.ts';
import { createMetrics } from '../platform/metrics.ts';

// Nothing here can be run without a container engine; what can be wrong without one is checked without one.
const ROOT = resolve(import.meta.dirname, '../..');
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');
const source = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts') && !path.includes('.test.'))
  .map((path) => read(join('src', path)))
  .join('\n');

/** Names of metrics in PromQL: words before a brace, a range or the end that are not functions or labels. */
function metricsIn(expression: string): string[] {
  const bare = expression.replaceAll(/\{[^}]*\}/g, '').replaceAll(/\bby \([^)]*\)/g, '');
  return [...bare.matchAll(/\b[a-z][a-z0-9]*(?:_[a-z0-9]+)+\b/g)]
    .map(([name]) => name)
    .filter((name) => !name.endsWith('_quantile'));
}

it('alerts and dashboard panels ask for metrics that exist, or they would be silent for ever', async () => {
  const dashboard = JSON.parse(read('.deploy/grafana/dashboards/tidewire.json')) as {
    panels: { targets: { expr: string }[] }[];
  };
  const alerts = [...read('.deploy/alerts.yml').matchAll(/^ +expr: (.*)$/gm)].map((match) => match[1]!);
  const expressions = [...alerts, ...dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr))];
  expect(expressions.length).toBeGreaterThan(25);
  const standard = await createMetrics({ processMetrics: true }).render();
  const missing = expressions.flatMap(metricsIn).filter((name) => {
    const family = name.replace(/_(?:bucket|count|sum)$/, '');
    return (
      !source.includes(`'${family}'`) &&
      !standard.includes(`# TYPE ${name} `) &&
      !standard.includes(`# TYPE ${family} `)
    );
  });
  expect(missing).toEqual([]);
});

it('every gateway of the compose file is behind the load balancer, and every process is watched', () => {
  const services = [...read('docker-compose.yml').matchAll(/^ {2}([a-z0-9-]+):\n {4}<<: \*tidewire/gm)].map(
    (match) => match[1]!,
  );
  expect(services.length).toBeGreaterThan(3);
  const behind = [...read('.deploy/nginx.conf').matchAll(/server ([a-z0-9-]+):3000 /g)].map((match) => match[1]!);
  expect(behind).toEqual(services.filter((name) => name.startsWith('gateway')));
  const watched = [...read('.deploy/prometheus.yml').matchAll(/'([a-z0-9-]+):9464'/g)].map((match) => match[1]!);
  expect(watched.toSorted((a, b) => a.localeCompare(b))).toEqual(services.toSorted((a, b) => a.localeCompare(b)));
});

it('the image has what its running stage could not make: the console, and the native writer after what is pruned', () => {
  const [build, running] = read('Dockerfile')
    .split(/^FROM .*$/m)
    .slice(1);
  const steps = ['gcc', 'npm ci', 'build:console', 'npm prune', 'src/platform/native-writer/build.ts'];
  const places = steps.map((step) => build!.indexOf(step));
  expect(places).toEqual(places.filter((at) => at !== -1).toSorted((a, b) => a - b));
  expect(running).toContain('COPY --from=build --chown=node:node /app /app');
  // What is found there is named after Node's ABI too.
  expect(new Set([...read('Dockerfile').matchAll(/^FROM (\S+)/gm)].map((match) => match[1])).size).toBe(1);
});

it('the compose file plays every role and sets only variables that are read', () => {
  const text = read('docker-compose.yml');
  const roles = [...text.matchAll(/ROLES: ([a-z]+)/g)].map((match) => match[1]!);
  expect(new Set(roles)).toEqual(new Set(ROLE_NAMES));
  const block = text.slice(text.indexOf('x-environment'), text.indexOf('\nservices:'));
  const set = [...block.matchAll(/^ {2}([A-Z_]+):/gm)].map((match) => match[1]!);
  expect(set.length).toBeGreaterThan(5);
  expect(set.filter((name) => !(VARIABLE_NAMES as string[]).includes(name))).toEqual([]);
});
