/** A profile as one self-contained page: a flame graph, callers above what they call. */

import type { ProfileReport } from '../machine/profile/report.ts';

/** A frame with all that have the same callers: place of its name, samples, callees. */
type FlameNode = [name: number, samples: number, callees: FlameNode[]];

/** A stack is at most this deep below its task: see unwind.ts. A tree of it can be walked by recursion. */
interface Tree {
  readonly names: readonly string[];
  readonly root: FlameNode;
}

function flameTree(report: ProfileReport): Tree {
  const places = new Map<string, number>();
  const place = (name: string): number => {
    const known = places.get(name) ?? places.size;
    places.set(name, known);
    return known;
  };
  const root: FlameNode = [place('all'), 0, []];
  const callees = new Map<FlameNode, Map<number, FlameNode>>();
  for (const { frames, samples } of report.stacks) {
    let node = root;
    node[1] += samples;
    for (const name of frames) {
      const known = callees.get(node) ?? new Map<number, FlameNode>();
      callees.set(node, known);
      const at = place(name);
      const callee: FlameNode = known.get(at) ?? [at, 0, []];
      if (!known.has(at)) node[2].push(callee);
      known.set(at, callee);
      callee[1] += samples;
      node = callee;
    }
  }
  return { names: [...places.keys()], root };
}

/** JSON that may stand in a script element: names are a guest's. */
function scriptJson(value: unknown): string {
  return JSON.stringify(value)
    .replaceAll('<', '\\u003c')
    .replaceAll('\u2028', '\\u2028')
    .replaceAll('\u2029', '\\u2029');
}

const STYLE = `
  :root { color-scheme: light dark; font: 13px system-ui, sans-serif }
  body { margin: 12px }
  header { display: flex; gap: 12px; align-items: baseline; flex-wrap: wrap; margin-bottom: 8px }
  h1 { font-size: 15px; margin: 0 }
  input { font: inherit; width: 16em }
  #graph { position: relative }
  #graph div { position: absolute; height: 17px; line-height: 17px; overflow: hidden; cursor: pointer;
    white-space: nowrap; box-sizing: border-box; text-indent: 3px; border-radius: 2px; color: #111;
    border-right: 1px solid Canvas; font-size: 12px }
  #graph div:hover { filter: brightness(1.15) }
  #graph .above { opacity: .55 }
  #graph .found { background: #d36be8 !important }
  #line { min-height: 1.4em; font-family: ui-monospace, monospace }
`;

/** What the page does; it is text here, as it runs in a browser. */
const SCRIPT = `
  const { names, root } = JSON.parse(document.getElementById('data').textContent);
  const graph = document.getElementById('graph'), line = document.getElementById('line');
  const search = document.getElementById('search'), found = document.getElementById('found');
  const ROW = 18, MIN = 0.0004;
  const parents = new Map([[root, null]]);
  for (const node of parents.keys()) for (const callee of node[2]) parents.set(callee, node);
  let zoomed = root, pattern = null;
  const hue = (name) => { let h = 0; for (const c of name) h = (h * 31 + c.charCodeAt(0)) >>> 0; return h; };
  const share = (node) => (100 * node[1] / root[1]).toFixed(2) + '%';
  const matches = (node) => pattern !== null && pattern.test(names[node[0]]);
  function box(node, x, width, depth, above) {
    const div = document.createElement('div'), name = names[node[0]], h = hue(name);
    div.style.cssText = 'left:' + 100 * x + '%;width:' + 100 * width + '%;top:' + depth * ROW +
      'px;background:hsl(' + (h % 45 + 15) + ' 85% ' + (62 + (h >> 8) % 14) + '%)';
    div.textContent = name;
    div.className = (above ? 'above ' : '') + (matches(node) ? 'found' : '');
    div.onclick = () => { zoomed = node; draw(); };
    div.onmouseenter = () => { line.textContent = name + '  ' + node[1] + ' samples, ' + share(node); };
    graph.append(div);
  }
  function draw() {
    graph.replaceChildren();
    const path = [];
    for (let node = parents.get(zoomed); node; node = parents.get(node)) path.unshift(node);
    path.forEach((node, depth) => box(node, 0, 1, depth, true));
    let deepest = path.length;
    const below = (node, x, width, depth) => {
      if (width < MIN) return;
      box(node, x, width, depth, false);
      deepest = Math.max(deepest, depth);
      for (const callee of node[2]) {
        const part = width * callee[1] / node[1];
        below(callee, x, part, depth + 1);
        x += part;
      }
    };
    below(zoomed, 0, 1, path.length);
    graph.style.height = (deepest + 1) * ROW + 'px';
  }
  const inFound = (node) => matches(node) ? node[1] : node[2].reduce((sum, callee) => sum + inFound(callee), 0);
  search.oninput = () => {
    const text = search.value.replace(/[.*+?^\${}()|[\\]\\\\]/g, '\\\\$&');
    pattern = text === '' ? null : new RegExp(text, 'i');
    found.textContent = pattern === null ? '' : (100 * inFound(root) / root[1]).toFixed(2) + '% found';
    draw();
  };
  onkeydown = (event) => { if (event.key === 'Escape') { zoomed = root; draw(); } };
  draw();
`;

export function flameGraphPage(report: ProfileReport): string {
  const { samples, interval } = report;
  const count = (n: number): string => n.toLocaleString('en-US');
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>cowshed profile</title>
<style>${STYLE}</style>
<header>
  <h1>cowshed profile</h1>
  <span>${count(samples)} samples, one each ${count(interval)} instructions</span>
  <input id="search" type="search" placeholder="search" aria-label="search">
  <span id="found"></span>
</header>
<div id="line">click to look closer, Escape to look at all</div>
<div id="graph"></div>
<script type="application/json" id="data">${scriptJson(flameTree(report))}</script>
<script>${SCRIPT}</script>
</html>
`;
}
