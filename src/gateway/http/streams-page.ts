import { CLOSE_CODES, mayReconnect } from '../../protocol/close-codes.ts';
import { ERRORS } from '../../protocol/errors.ts';
import { CONNECTION_LIMITS, RETENTION_LIMITS } from '../../protocol/limits.ts';
import { METHODS } from '../../protocol/methods.ts';
import type { MethodName } from '../../protocol/methods.ts';
import { EVENT_DATA, EVENT_SUMMARIES, METHOD_SUMMARIES } from './asyncapi-schemas.ts';
import type { JsonSchema } from './asyncapi-schemas.ts';
import { STREAM_DOCS } from './asyncapi.ts';
import type { AsyncapiDocument } from './asyncapi.ts';

/** The AsyncAPI document as one page of plain HTML: readable without scripts, with an anchor for everything. */
export function renderStreamsPage(document: AsyncapiDocument): string {
  const { schemas } = document.components;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tidewire streams</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/assets/page.css">
</head>
<body>
<main>
<p><a href="/">Tidewire</a> · <a href="/docs">REST</a> · <a href="/asyncapi.json">asyncapi.json</a></p>
<h1>Streams, protocol 1</h1>
<p>${text(String(document.info.description))}</p>
<pre>${text(QUICK_START)}</pre>
${section('streams', 'Streams', streamTable())}
${section('methods', 'Methods', methodTable())}
${section('events', 'Events of the connection', eventTable())}
${section('errors', 'Errors', errorTable())}
${section('close-codes', 'Close codes', closeTable())}
${section('limits', 'Limits', limitTable())}
${section(
  'messages',
  'Messages',
  Object.keys(document.components.messages)
    .map((name) => schemaSection(name, schemas[name]!))
    .join('\n'),
)}
${section(
  'shapes',
  'Shapes',
  shapeNames(document)
    .map((name) => schemaSection(name, schemas[name]!))
    .join('\n'),
)}
</main>
</body>
</html>
`;
}

const QUICK_START = `npx wscat -c ws://localhost:3000/ws
> {"id":1,"method":"subscribe","params":{"streams":["ticker:binance:BTC/USDT","book:binance:BTC/USDT:10:1s"]}}`;

function shapeNames(document: AsyncapiDocument): string[] {
  return Object.keys(document.components.schemas).filter((name) => !(name in document.components.messages));
}

function section(id: string, title: string, body: string): string {
  return `<section id="${id}"><h2>${text(title)}</h2>\n${body}\n</section>`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[], ids?: readonly string[]): string {
  const cells = (tag: string, row: readonly string[]) => row.map((cell) => `<${tag}>${cell}</${tag}>`).join('');
  const lines = rows.map((row, index) => `<tr${ids ? ` id="${ids[index]}"` : ''}>${cells('td', row)}</tr>`);
  return `<table><thead><tr>${cells('th', head.map(text))}</tr></thead><tbody>\n${lines.join('\n')}\n</tbody></table>`;
}

function streamTable(): string {
  const rows = Object.values(STREAM_DOCS).map((doc) => [
    code(doc.address),
    text(doc.description),
    doc.examples.map(code).join('<br>'),
  ]);
  return table(['name', 'what it carries', 'for instance'], rows);
}

function methodTable(): string {
  const rows = (Object.keys(METHODS) as MethodName[]).map((method) => [
    code(method),
    text(METHOD_SUMMARIES[method]),
    `${link(`${method}.request`)}, ${link(`${method}.reply`)}`,
  ]);
  return table(['method', 'what it does', 'messages'], rows);
}

function eventTable(): string {
  const rows = (Object.keys(EVENT_DATA) as (keyof typeof EVENT_DATA)[]).map((event) => [
    link(`event.${event}`),
    text(EVENT_SUMMARIES[event]),
  ]);
  return table(['event', 'what it says'], rows);
}

function errorTable(): string {
  const entries = Object.entries(ERRORS);
  const rows = entries.map(([name, error]) => [
    code(name),
    String(error.status),
    error.temporary ? 'yes' : 'no',
    text(error.title),
  ]);
  return table(
    ['code', 'HTTP status', 'temporary', 'meaning'],
    rows,
    entries.map(([name]) => `error-${name}`),
  );
}

function closeTable(): string {
  const rows = Object.values(CLOSE_CODES).map(({ code: number, reason }) => [
    String(number),
    code(reason),
    mayReconnect(number) ? 'yes' : 'no',
  ]);
  return table(['code', 'reason', 'reconnect'], rows);
}

function limitTable(): string {
  const rows = Object.entries({ ...CONNECTION_LIMITS, ...prefixed('retention.', RETENTION_LIMITS) });
  return table(
    ['limit', 'default'],
    rows.map(([name, value]) => [code(name), String(value)]),
  );
}

function prefixed(prefix: string, values: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [prefix + name, value]));
}

function schemaSection(name: string, schema: JsonSchema): string {
  const title = `<h3 id="schema-${name}">${text(name)}</h3>`;
  const about = typeof schema.description === 'string' ? `<p>${text(schema.description)}</p>` : '';
  const properties = schema.properties as Record<string, JsonSchema> | undefined;
  if (properties === undefined) return `${title}${about}<p>${typeText(schema)}</p>`;
  const required = new Set((schema.required as string[] | undefined) ?? []);
  const rows = Object.entries(properties).map(([field, each]) => [
    code(field) + (required.has(field) ? '' : ' (optional)'),
    typeText(each),
    text(typeof each.description === 'string' ? each.description : ''),
  ]);
  return `${title}${about}${table(['field', 'type', ''], rows)}`;
}

/** A schema in a few words, with links to the named ones. */
function typeText(schema: JsonSchema): string {
  if (typeof schema.$ref === 'string') return link(schema.$ref.slice(schema.$ref.lastIndexOf('/') + 1));
  if ('const' in schema) return code(JSON.stringify(schema.const));
  const choices = (schema.anyOf ?? schema.allOf ?? schema.oneOf) as JsonSchema[] | undefined;
  if (choices) return choices.map(typeText).join(' or ');
  if (Array.isArray(schema.enum)) return schema.enum.map((each) => code(JSON.stringify(each))).join(' or ');
  if (schema.type === 'array') return arrayText(schema);
  if (schema.type === 'object' && schema.properties) {
    const fields = Object.entries(schema.properties as Record<string, JsonSchema>);
    return `{ ${fields.map(([name, each]) => `${code(name)}: ${typeText(each)}`).join(', ')} }`;
  }
  if (schema.type === 'object') return `map of ${typeText((schema.additionalProperties as JsonSchema) || {})}`;
  return typeof schema.type === 'string' ? text(schema.type) : 'anything';
}

function arrayText(schema: JsonSchema): string {
  if (Array.isArray(schema.items)) return `[${(schema.items as JsonSchema[]).map(typeText).join(', ')}]`;
  return `list of ${typeText((schema.items as JsonSchema | undefined) ?? {})}`;
}

function link(name: string): string {
  return `<a href="#schema-${text(name)}">${text(name)}</a>`;
}

function code(value: string): string {
  return `<code>${text(value)}</code>`;
}

function text(value: string): string {
  return value.replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);
}
