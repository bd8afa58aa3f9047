/** Dependency fields (Debian Policy 7.1): `libc6 (>= 2.38), awk | mawk:any`. */

import type { VersionRelation } from './version.ts';
import { versionSatisfies } from './version.ts';

/** One name that a dependency may be met by. */
export interface Relation {
  readonly name: string;
  /** Null when any version will do. */
  readonly relation: VersionRelation | null;
  /** Meaningless while `relation` is null. */
  readonly version: string;
}

/** Alternatives: any one of them is enough. */
export type OrGroup = readonly Relation[];

// name[:arch] [(op version)] [[arch ...]] [<profile ...>]
const RELATION = /^([^\s:([<]+)(?::[^\s([<]+)?\s*(?:\(\s*(<<|<=|=|>=|>>|<|>)\s*([^\s)]+)\s*\))?/;

function parseRelation(text: string): Relation | null {
  const match = RELATION.exec(text.trim());
  const name = match?.[1];
  if (name === undefined) return null;
  const operator = match?.[2];
  if (operator === undefined) return { name, relation: null, version: '' };
  // Policy 7.1: the obsolete < and > mean <= and >=.
  const relation =
    operator === '<' ? '<=' : operator === '>' ? '>=' : (operator as VersionRelation);
  return { name, relation, version: match?.[3] ?? '' };
}

/** Parses `Depends`, `Pre-Depends`, `Conflicts` or `Provides`; what is not a relation is skipped. */
export function parseRelations(field: string): OrGroup[] {
  const groups: OrGroup[] = [];
  for (const part of field.split(',')) {
    const group = part
      .split('|')
      .map(parseRelation)
      .filter((relation) => relation !== null);
    if (group.length > 0) groups.push(group);
  }
  return groups;
}

/** Whether a package of this version meets the version part of the relation. */
export function relationAccepts(relation: Relation, version: string): boolean {
  return (
    relation.relation === null || versionSatisfies(version, relation.relation, relation.version)
  );
}

/** The relation as Debian writes it: `libc6 (>= 2.38)`. */
export function relationText(relation: Relation): string {
  return relation.relation === null
    ? relation.name
    : `${relation.name} (${relation.relation} ${relation.version})`;
}
