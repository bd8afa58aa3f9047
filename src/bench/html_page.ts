/** One self-contained page of plots: no script, nothing from a network, light and dark. */

import { cpus, release, totalmem } from 'node:os';
import { escapeXml } from './plot.ts';

/** One plot or table with a heading. */
export interface Section {
  readonly title: string;
  /** What the plot shows and how to read it. */
  readonly text: string;
  /** SVG of plot.ts. */
  readonly plots: readonly string[];
}

export interface Page {
  readonly title: string;
  /** How it was measured. */
  readonly text: string;
  readonly sections: readonly Section[];
  /** The text table. */
  readonly table: string;
  /** What is missing or went wrong. */
  readonly notes: readonly string[];
  /** What --json prints: part of the page for whoever wants to plot it in another way. */
  readonly rows: readonly unknown[];
}

/** Where and when it was measured: names and values. */
export type Description = readonly (readonly [name: string, value: string])[];

/** This host, as far as it decides times. */
export function describeHost(now: Date): Description {
  const processors = cpus();
  return [
    ['processor', `${processors[0]?.model.trim() ?? 'unknown'}, ${processors.length} threads`],
    ['memory', `${(totalmem() / 1024 ** 3).toFixed(1)} GiB`],
    ['kernel', `${process.platform} ${release()} ${process.arch}`],
    ['Node.js', `${process.version}, V8 ${process.versions.v8}`],
    ['measured', now.toISOString().replace('T', ' ').replace(/\..*/, ' UTC')],
  ];
}

/** Colours that the colour-blind can tell apart, by series. */
const COLOURS: Readonly<Record<string, readonly [light: string, dark: string]>> = {
  native: ['#6b7280', '#a3aab8'],
  qemu: ['#b8478f', '#e08fc4'],
  interp: ['#d98200', '#f0b04a'],
  jit: ['#0067b3', '#5cb3f0'],
  default: ['#d98200', '#f0b04a'],
  'cow-pte': ['#0067b3', '#5cb3f0'],
};

function colourRules(which: 0 | 1): string {
  return Object.entries(COLOURS)
    .map(([name, pair]) => `.s-${name}{fill:${pair[which]}}.l-${name}{stroke:${pair[which]}}`)
    .join('\n');
}

const STYLE = `
:root{color-scheme:light dark;--fg:#1b1f24;--dim:#5b6470;--line:#e3e6ea;--bg:#fff;--box:#f6f7f9}
body{margin:0 auto;max-width:860px;padding:2rem 1.2rem 4rem;background:var(--bg);color:var(--fg);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
h1{font-size:1.7rem;margin:0 0 .4rem}
h2{font-size:1.15rem;margin:2.4rem 0 .2rem}
p{margin:.3rem 0 .8rem;color:var(--dim);max-width:46rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:1rem 0;font-size:.9rem}
dt{color:var(--dim)}dd{margin:0}
svg{display:block;width:100%;height:auto;margin:.4rem 0 1.2rem;overflow:visible}
svg text{font-size:12.5px;fill:var(--fg)}
svg .tick,svg .unit,svg .value{fill:var(--dim);font-size:11.5px}
.grid{stroke:var(--line);stroke-width:1}
.reference{stroke:var(--fg);stroke-width:1.5;stroke-dasharray:4 3}
.span{stroke:var(--line);stroke-width:4}
polyline{fill:none;stroke-width:2.2;stroke-linejoin:round}
circle{stroke:var(--bg);stroke-width:1.2}
pre{background:var(--box);padding:1rem;overflow-x:auto;font:12.5px/1.5 ui-monospace,Consolas,
"DejaVu Sans Mono",monospace;border-radius:6px}
ul{color:var(--dim)}
${colourRules(0)}
@media (prefers-color-scheme:dark){
:root{--fg:#e7eaee;--dim:#9aa4b0;--line:#343b44;--bg:#14171b;--box:#1c2127}
${colourRules(1)}
}`;

function sectionHtml({ title, text, plots }: Section): string {
  return `<section>
<h2>${escapeXml(title)}</h2>
<p>${escapeXml(text)}</p>
${plots.join('\n')}
</section>`;
}

function notesHtml(notes: readonly string[]): string {
  if (notes.length === 0) return '';
  return `<ul>\n${notes.map((note) => `<li>${escapeXml(note)}</li>`).join('\n')}\n</ul>`;
}

/** The whole page. */
export function renderPage(page: Page, host: Description): string {
  const description = host.map(
    ([name, value]) => `<dt>${escapeXml(name)}</dt><dd>${escapeXml(value)}</dd>`,
  );
  // "</script" would end the element; a JSON text may have it escaped.
  const json = JSON.stringify({ rows: page.rows }).replaceAll('<', '\\u003c');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeXml(page.title)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${escapeXml(page.title)}</h1>
<p>${escapeXml(page.text)}</p>
<dl>
${description.join('\n')}
</dl>
${notesHtml(page.notes)}
${page.sections.map(sectionHtml).join('\n')}
<h2>All numbers</h2>
<pre>${escapeXml(page.table)}</pre>
<script type="application/json" id="rows">${json}</script>
</body>
</html>
`;
}
