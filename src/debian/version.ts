/**
 * Debian version numbers: `[epoch:]upstream[-revision]`, ordered as Debian Policy 5.6.12 says.
 * Dependencies such as `libc6 (>= 2.38)` mean nothing without this order.
 */

/** The relations of Debian Policy 7.1. */
export type VersionRelation = '<<' | '<=' | '=' | '>=' | '>>';

const NOT_DIGITS = /^[^0-9]*/;
const DIGITS = /^[0-9]*/;
const LEADING_ZEROS = /^0+(?=[0-9])/;

/** Sort weight of one character in a non-digit part: `~` < end < letters < everything else. */
function weight(part: string, at: number): number {
  if (at >= part.length) return 0;
  const code = part.charCodeAt(at);
  if (part[at] === '~') return -1;
  const isLetter = (code >= 65 && code <= 90) || (code >= 97 && code <= 122);
  return isLetter ? code : code + 256;
}

function compareNonDigits(a: string, b: string): number {
  const length = Math.max(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = weight(a, i) - weight(b, i);
    if (difference !== 0) return Math.sign(difference);
  }
  return 0;
}

/** Compares digit strings of any length by value; an empty one counts as zero. */
function compareDigits(a: string, b: string): number {
  const left = (a === '' ? '0' : a).replace(LEADING_ZEROS, '');
  const right = (b === '' ? '0' : b).replace(LEADING_ZEROS, '');
  if (left.length !== right.length) return left.length < right.length ? -1 : 1;
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

function compareParts(a: string, b: string): number {
  let left = a;
  let right = b;
  while (left !== '' || right !== '') {
    for (const [pattern, compare] of [
      [NOT_DIGITS, compareNonDigits],
      [DIGITS, compareDigits],
    ] as const) {
      const leftHead = pattern.exec(left)?.[0] ?? '';
      const rightHead = pattern.exec(right)?.[0] ?? '';
      const order = compare(leftHead, rightHead);
      if (order !== 0) return order;
      left = left.slice(leftHead.length);
      right = right.slice(rightHead.length);
    }
  }
  return 0;
}

function splitVersion(version: string): { epoch: string; upstream: string; revision: string } {
  const colon = version.indexOf(':');
  const epoch = colon < 0 ? '' : version.slice(0, colon);
  const rest = version.slice(colon + 1);
  const dash = rest.lastIndexOf('-');
  if (dash < 0) return { epoch, upstream: rest, revision: '' };
  return { epoch, upstream: rest.slice(0, dash), revision: rest.slice(dash + 1) };
}

/** @returns -1, 0 or 1: whether version `a` is older than, equal to or newer than `b`. */
export function compareVersions(a: string, b: string): number {
  const left = splitVersion(a);
  const right = splitVersion(b);
  return (
    compareDigits(left.epoch, right.epoch) ||
    compareParts(left.upstream, right.upstream) ||
    compareParts(left.revision, right.revision)
  );
}

/** Whether `version` stands in `relation` to `wanted`. */
export function versionSatisfies(
  version: string,
  relation: VersionRelation,
  wanted: string,
): boolean {
  const order = compareVersions(version, wanted);
  switch (relation) {
    case '<<':
      return order < 0;
    case '<=':
      return order <= 0;
    case '=':
      return order === 0;
    case '>=':
      return order >= 0;
    case '>>':
      return order > 0;
  }
}
