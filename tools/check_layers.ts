/**
 * Checks the layer order of src/: a file imports from its own folder or from a lower row, and no
 * chain of imports comes back to where it started. Type-only imports count: a type that knows a
 * higher layer is knowledge of that layer.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseSync, Visitor } from 'rolldown/utils';

/** Rows from the lowest to the highest. Folders on one row never see each other. */
const LAYER_ROWS: readonly (readonly string[])[] = [
  ['lib'],
  ['uapi'],
  ['arch/riscv'],
  ['cpu', 'mm'],
  ['fs'],
  ['net'],
  ['kernel'],
  ['fs/proc'],
  ['syscalls'],
  ['machine'],
  ['snapshot'],
  ['debian', 'bench', 'fuzz', 'serve', 'inspect'],
  ['cli', ''],
];

/** Layers that run anywhere JavaScript runs: they import neither packages nor node: modules. */
const PURE_LAYERS = new Set(['lib', 'uapi', 'arch/riscv', 'cpu', 'mm']);

/** Path of a source file relative to src, with forward slashes: `mm/fork.ts`. */
type SourcePath = string;

interface Import {
  readonly specifier: string;
  readonly typeOnly: boolean;
}

interface LayerReport {
  readonly files: number;
  readonly breaks: readonly string[];
  readonly cycles: readonly string[];
}

/** Every import of a file, in order: static, dynamic, re-export and `import('x').T`. */
export function importsOf(path: SourcePath, text: string): Import[] {
  const { program, errors } = parseSync(path, text, { lang: 'ts' });
  if (errors.length > 0) throw new Error(`Cannot parse ${path}: ${errors[0]?.message}`);
  const found: Import[] = [];
  const add = (source: { value?: unknown } | null, typeOnly: boolean): void => {
    if (source !== null && typeof source.value === 'string')
      found.push({ specifier: source.value, typeOnly });
  };
  new Visitor({
    ImportDeclaration: (node) => add(node.source, node.importKind === 'type'),
    ExportNamedDeclaration: (node) => add(node.source, node.exportKind === 'type'),
    ExportAllDeclaration: (node) => add(node.source, node.exportKind === 'type'),
    ImportExpression: (node) => add(node.source as { value?: unknown }, false),
    TSImportType: (node) => add(node.source, true),
  }).visit(program);
  return found;
}

/** The layer a file belongs to: the longest folder of the table that holds it. */
export function layerOf(path: SourcePath): string | undefined {
  const folder = path.includes('/') ? dirname(path) : '';
  const fits = LAYER_ROWS.flat().filter(
    (layer) => folder === layer || (layer !== '' && folder.startsWith(`${layer}/`)),
  );
  return fits.sort((a, b) => b.length - a.length)[0];
}

function rowOf(layer: string): number {
  return LAYER_ROWS.findIndex((row) => row.includes(layer));
}

function describeBreak(from: SourcePath, to: SourcePath, { typeOnly }: Import): string | undefined {
  const fromLayer = layerOf(from);
  const toLayer = layerOf(to);
  const arrow = `${from} -> ${to}${typeOnly ? ' (type only)' : ''}`;
  if (fromLayer === undefined) return `${from}: its folder is in no layer`;
  if (toLayer === undefined) return `${arrow}: the target's folder is in no layer`;
  if (fromLayer === toLayer) return undefined;
  if (rowOf(toLayer) < rowOf(fromLayer)) return undefined;
  const relation = rowOf(toLayer) === rowOf(fromLayer) ? 'is on the same row as' : 'is above';
  return `${arrow}: ${toLayer || 'entry point'} ${relation} ${fromLayer || 'entry point'}`;
}

/** One shortest-first cycle per strongly connected group, as `a -> b -> a`. */
export function findCycles(graph: ReadonlyMap<SourcePath, readonly SourcePath[]>): string[] {
  const done = new Set<SourcePath>();
  const cycles: string[] = [];
  for (const start of [...graph.keys()].sort()) {
    if (done.has(start)) continue;
    const cycle = shortestCycleThrough(graph, start, done);
    if (cycle === undefined) continue;
    for (const path of cycle) done.add(path);
    cycles.push([...cycle, start].join(' -> '));
  }
  return cycles;
}

/** Breadth-first search from `start` back to itself, around the files of `avoid`. */
function shortestCycleThrough(
  graph: ReadonlyMap<SourcePath, readonly SourcePath[]>,
  start: SourcePath,
  avoid: ReadonlySet<SourcePath>,
): SourcePath[] | undefined {
  const cameFrom = new Map<SourcePath, SourcePath>();
  const queue: SourcePath[] = [start];
  for (const path of queue) {
    for (const next of graph.get(path) ?? []) {
      if (next === start) return pathTo(path, start, cameFrom);
      if (avoid.has(next) || cameFrom.has(next)) continue;
      cameFrom.set(next, path);
      queue.push(next);
    }
  }
  return undefined;
}

function pathTo(
  end: SourcePath,
  start: SourcePath,
  cameFrom: ReadonlyMap<SourcePath, SourcePath>,
): SourcePath[] {
  const path: SourcePath[] = [];
  for (let at = end; at !== start; at = cameFrom.get(at) ?? start) path.unshift(at);
  return [start, ...path];
}

/** Checks a set of files given as path -> text. */
export function checkLayers(sources: ReadonlyMap<SourcePath, string>): LayerReport {
  const breaks: string[] = [];
  const graph = new Map<SourcePath, SourcePath[]>();
  for (const [path, text] of sources) {
    const targets: SourcePath[] = [];
    graph.set(path, targets);
    for (const imported of importsOf(path, text)) {
      const layer = layerOf(path);
      if (!imported.specifier.startsWith('.')) {
        if (PURE_LAYERS.has(layer ?? ''))
          breaks.push(`${path} -> ${imported.specifier}: ${layer} imports no packages`);
        continue;
      }
      const target = relative('/src', resolve('/src', dirname(path), imported.specifier))
        .split(sep)
        .join('/');
      if (!sources.has(target)) {
        breaks.push(`${path} -> ${imported.specifier}: no such file below src`);
        continue;
      }
      if (!targets.includes(target)) targets.push(target);
      const broken = describeBreak(path, target, imported);
      if (broken !== undefined) breaks.push(broken);
    }
  }
  return { files: sources.size, breaks, cycles: findCycles(graph) };
}

function readSources(src: string): Map<SourcePath, string> {
  const names = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  return new Map(
    names.sort().map((name) => [name.split(sep).join('/'), readFileSync(join(src, name), 'utf8')]),
  );
}

/** @returns the lines to print and whether all is well. */
export function layerCheck(root: string): { ok: boolean; lines: string[] } {
  const { files, breaks, cycles } = checkLayers(readSources(join(root, 'src')));
  const lines = [
    ...breaks.map((line) => `layer break: ${line}`),
    ...cycles.map((line) => `cycle: ${line}`),
    `${files} files, ${breaks.length} layer breaks, ${cycles.length} cycles`,
  ];
  return { ok: breaks.length + cycles.length === 0, lines };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { ok, lines } = layerCheck(process.cwd());
  for (const line of lines) console.log(line);
  process.exitCode = ok ? 0 : 1;
}
