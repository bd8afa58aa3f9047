/**
 * The format of Debian control files (deb822(5)): stanzas of `Field: value` lines, separated by
 * blank lines; a line that starts with a blank continues the field above it.
 */

/** One stanza. Field names are lower case, because their case has no meaning. */
export type Stanza = ReadonlyMap<string, string>;

/** Parses one stanza. Lines of a folded field are joined with `\n`, each without its indent. */
export function parseStanza(text: string): Stanza {
  const fields = new Map<string, string>();
  let field = '';
  for (const line of text.split(/\r?\n/)) {
    if (line === '' || line.startsWith('#')) continue;
    if (line.startsWith(' ') || line.startsWith('\t')) {
      if (field !== '') fields.set(field, `${fields.get(field) ?? ''}\n${line.trim()}`);
      continue;
    }
    const colon = line.indexOf(':');
    if (colon <= 0) continue;
    field = line.slice(0, colon).toLowerCase();
    fields.set(field, line.slice(colon + 1).trim());
  }
  return fields;
}

/** Parses a whole control file. */
export function parseStanzas(text: string): Stanza[] {
  return text
    .split(/\n[ \t\r]*(?:\n[ \t\r]*)+/)
    .map(parseStanza)
    .filter((stanza) => stanza.size > 0);
}

/** The words of a field whose values are separated by blanks: `Architectures: amd64 riscv64`. */
export function fieldWords(stanza: Stanza, field: string): string[] {
  return (stanza.get(field) ?? '').split(/\s+/).filter((word) => word !== '');
}
