/**
 * From the packages that were asked for to everything they need: the closure over `Pre-Depends` and
 * `Depends`. Essential packages that nobody depends on are left out: a root file system for one
 * program needs no dpkg.
 */

import { DebianError } from './error.ts';
import type { DebianPackage, PackageIndex } from './package_index.ts';
import type { OrGroup, Relation } from './relation.ts';
import { relationAccepts, relationText } from './relation.ts';

const PRIORITIES = ['required', 'important', 'standard', 'optional', 'extra'];

/** State of one closure. */
interface Closure {
  readonly index: PackageIndex;
  readonly chosen: Map<string, DebianPackage>;
  /** Chosen packages whose own dependencies have not been followed yet, oldest first. */
  readonly queue: DebianPackage[];
}

/** Whether `candidate` meets the relation by its own name or through `Provides`. */
function satisfies(candidate: DebianPackage, wanted: Relation): boolean {
  if (candidate.name === wanted.name && relationAccepts(wanted, candidate.version)) return true;
  return candidate.provides.some(([provided]) => {
    if (provided === undefined || provided.name !== wanted.name) return false;
    if (wanted.relation === null) return true;
    // Policy 7.5: an unversioned Provides meets no versioned dependency.
    return provided.relation === '=' && relationAccepts(wanted, provided.version);
  });
}

/** Packages that could meet the relation, best first: the real one, then providers by priority and name. */
function candidates(index: PackageIndex, wanted: Relation): DebianPackage[] {
  const real = index.packages.get(wanted.name);
  const found = real !== undefined && satisfies(real, wanted) ? [real] : [];
  const providers = (index.providers.get(wanted.name) ?? []).filter((provider) =>
    satisfies(provider, wanted),
  );
  providers.sort(
    (a, b) =>
      PRIORITIES.indexOf(a.priority) - PRIORITIES.indexOf(b.priority) || (a.name < b.name ? -1 : 1),
  );
  return [...found, ...providers.filter((provider) => provider !== real)];
}

/** Whether one of the two refuses to be installed beside the other. */
function conflict(a: DebianPackage, b: DebianPackage): boolean {
  if (a.name === b.name) return false;
  const refuses = (one: DebianPackage, other: DebianPackage): boolean =>
    one.conflicts.some(([relation]) => relation !== undefined && satisfies(other, relation));
  return refuses(a, b) || refuses(b, a);
}

function conflictingWith(closure: Closure, candidate: DebianPackage): DebianPackage | undefined {
  for (const other of closure.chosen.values()) if (conflict(candidate, other)) return other;
  return undefined;
}

function choose(closure: Closure, chosen: DebianPackage): void {
  closure.chosen.set(chosen.name, chosen);
  closure.queue.push(chosen);
}

function isMet(closure: Closure, wanted: Relation): boolean {
  const own = closure.chosen.get(wanted.name);
  if (own !== undefined && satisfies(own, wanted)) return true;
  return (closure.index.providers.get(wanted.name) ?? []).some(
    (provider) => closure.chosen.get(provider.name) === provider && satisfies(provider, wanted),
  );
}

/** Chooses a package for one dependency, unless something chosen already meets it. */
function meet(closure: Closure, group: OrGroup, neededBy: string): void {
  if (group.some((wanted) => isMet(closure, wanted))) return;
  let blocked = '';
  for (const wanted of group) {
    for (const candidate of candidates(closure.index, wanted)) {
      const other = conflictingWith(closure, candidate);
      if (other === undefined) {
        choose(closure, candidate);
        return;
      }
      blocked ||= `${candidate.name} conflicts with ${other.name}`;
    }
  }
  const text = group.map(relationText).join(' | ');
  const cause = blocked === '' ? 'the suite has no such package' : blocked;
  throw new DebianError(
    'UNSATISFIED',
    `Cannot install "${neededBy}": it depends on ${text}, and ${cause}`,
  );
}

function chooseRequested(closure: Closure, name: string): void {
  const requested = closure.index.packages.get(name);
  if (requested !== undefined) {
    if (closure.chosen.has(name)) return;
    const other = conflictingWith(closure, requested);
    if (other !== undefined) {
      throw new DebianError(
        'UNSATISFIED',
        `Cannot install "${name}": it conflicts with ${other.name}`,
      );
    }
    choose(closure, requested);
    return;
  }
  const providers = (closure.index.providers.get(name) ?? []).map((provider) => provider.name);
  const hint =
    providers.length === 0
      ? 'the suite has no package of this name'
      : `it is a virtual package; ask for one of ${providers.slice(0, 8).join(', ')}`;
  throw new DebianError('NOT_FOUND', `Cannot install "${name}": ${hint}`);
}

/**
 * Finds all packages that the named ones need.
 *
 * @returns the packages sorted by name.
 * @throws DebianError NOT_FOUND or UNSATISFIED, naming the package and the dependency.
 */
export function resolvePackages(index: PackageIndex, names: readonly string[]): DebianPackage[] {
  const closure: Closure = { index, chosen: new Map(), queue: [] };
  for (const name of names) chooseRequested(closure, name);
  for (let next = closure.queue.shift(); next !== undefined; next = closure.queue.shift()) {
    for (const group of next.depends) meet(closure, group, next.name);
  }
  return [...closure.chosen.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}
