/** What one process exposes, in Prometheus' text format. */
export type Exposition = Readonly<{ process: string; text: string }>;

type Family = { help: string[]; samples: string[] };

/** One exposition of several: every sample gets the label `process`, and each family's HELP and TYPE stand once. */
export function mergeExpositions(parts: readonly Exposition[]): string {
  const families = new Map<string, Family>();
  for (const part of parts) addPart(families, part);
  return [...families.values()].flatMap(({ help, samples }) => [...help, ...samples]).join('\n') + '\n';
}

function addPart(families: Map<string, Family>, { process, text }: Exposition): void {
  let family: Family | undefined;
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*)/.exec(line);
    if (comment) {
      family = familyOf(families, comment[2]!);
      if (!family.help.some((known) => known.startsWith(`# ${comment[1]} `))) family.help.push(line);
    } else if (!line.startsWith('#') && family !== undefined) {
      family.samples.push(labelled(line, process));
    }
  }
}

function familyOf(families: Map<string, Family>, name: string): Family {
  let family = families.get(name);
  if (family === undefined) {
    family = { help: [], samples: [] };
    families.set(name, family);
  }
  return family;
}

/** `name 1` and `name{a="b"} 1` become `name{process="x"} 1` and `name{process="x",a="b"} 1`. */
function labelled(line: string, process: string): string {
  const label = `process="${process}"`;
  const brace = line.indexOf('{');
  const blank = line.indexOf(' ');
  if (brace === -1 || brace > blank) return `${line.slice(0, blank)}{${label}}${line.slice(blank)}`;
  const rest = line.slice(brace + 1);
  return `${line.slice(0, brace)}{${label}${rest.startsWith('}') ? '' : ','}${rest}`;
}
