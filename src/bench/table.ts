/** Text tables for a terminal. */

/** Right-aligns columns of numbers, left-aligns the others, two spaces between. */
export function textTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [header, ...rows];
  const columns = header.map((_, column) => ({
    width: Math.max(...all.map((row) => row[column]?.length ?? 0)),
    numeric: rows.every((row) => /^(?:[-\d]|$)/.test(row[column] ?? '')),
  }));
  const line = (row: readonly string[]): string =>
    columns
      .map(({ width, numeric }, i) => (numeric ? row[i]?.padStart(width) : row[i]?.padEnd(width)))
      .join('  ')
      .trimEnd();
  return `${all.map(line).join('\n')}\n`;
}

/** Three significant digits, without an exponent: 0.795, 17.6, 1048576. */
export function significant(value: number): string {
  if (!Number.isFinite(value)) return '-';
  if (value === 0) return '0';
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(digits, 6));
}

/** `1/2150`: how small `part` is beside `whole`; `3.2x` when it is not smaller. */
export function ratioOf(part: number, whole: number): string {
  const ratio = whole / part;
  if (!Number.isFinite(ratio)) return '-';
  return ratio >= 1 ? `1/${significant(ratio)}` : `${significant(part / whole)}x`;
}
