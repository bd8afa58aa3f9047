import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CpuRow } from '../../../src/bench/cpu.ts';
import type { ForkRow } from '../../../src/bench/fork.ts';
import { describeHost, renderPage } from '../../../src/bench/html_page.ts';
import { breakPage, clonePage, cpuPage, faultPage, forkPage } from '../../../src/bench/pages.ts';

const pair = (p50: number) => ({ p50, p99: p50 });
const MODES = ['native', 'default', 'cow-pte'] as const;

const forkRow = (mappedMiB: number, mode: (typeof MODES)[number]): ForkRow => ({
  mappedMiB,
  mode,
  pages: 'anon',
  forkUs: pair(3),
  cycleUs: pair(9),
  childVmRssKiB: 1,
  childVmPteKiB: 40,
});

const cpuRow: CpuRow = {
  name: 'sieve',
  kind: 'kernel',
  float: false,
  nativeMs: 10,
  qemuMs: null,
  interpMs: 90,
  jitMs: 30,
  best: { native: 10, qemu: null, interp: 90, jit: 30 },
  guestInsns: 1,
  mips: 1,
  ok: false,
};

describe('forkPage()', () => {
  const rows = MODES.flatMap((mode) => [forkRow(0, mode), forkRow(2048, mode)]);

  it('shows the three modes side by side at each size', () => {
    const { sections } = forkPage({ rows, memory: [], skipped: undefined });
    assert.equal(sections.length, 3);
    for (const { plots } of sections) {
      const svg = plots.join('');
      for (const mode of MODES) assert.match(svg, new RegExp(`class="s-${mode}"`));
      assert.match(svg, />2 GiB</);
    }
  });

  it('says why a mode is missing', () => {
    const ours = rows.filter(({ mode }) => mode !== 'native');
    const page = forkPage({ rows: ours, memory: [], skipped: 'the host has no C compiler' });
    assert.deepEqual(page.notes, ['native rows left out: the host has no C compiler']);
    assert.doesNotMatch(page.sections[0]!.plots.join(''), /s-native/);
  });
});

describe('faultPage()', () => {
  it('gives each pattern a scale of its own', () => {
    const rows = (['sequential', 'random'] as const).flatMap((pattern) =>
      MODES.map((mode) => ({ pattern, mode, perPageNs: 26 })),
    );
    assert.equal(faultPage({ rows, skipped: undefined }).sections.length, 2);
  });
});

describe('breakPage()', () => {
  it('draws no bar to the left of 0', () => {
    const rows = [
      { how: 'copy', mode: 'native', firstNs: 5, secondNs: 6, breakNs: -1 } as const,
      { how: 'takeover', mode: 'native', firstNs: 9, secondNs: 6, breakNs: 3 } as const,
    ];
    const svg = breakPage({ rows, skipped: undefined }).sections[1]!.plots.join('');
    assert.doesNotMatch(svg, /width="-/);
  });
});

describe('cpuPage()', () => {
  it('leaves out a mode that was not measured and names rows whose results differ', () => {
    const page = cpuPage({ rows: [cpuRow], notes: ['a note'] });
    assert.deepEqual(page.notes, ['a note', 'sieve: results differ']);
    assert.doesNotMatch(page.sections[0]!.plots.join(''), /s-qemu/);
    assert.match(page.sections[1]!.text, /3.00 times native time, 3.00 times the interpreter’s\.$/);
  });
});

describe('clonePage()', () => {
  const row = {
    how: 'fork',
    clones: 9,
    warmUpClones: 250,
    firstRunMs: 500,
    cloneMs: { p50: 1.5, p99: 9 },
    regionsBefore: 70,
    regionsAfter: 71,
    ok: false,
  } as const;

  it('says that clones compiled code', () => {
    const { notes, sections } = clonePage({ rows: [row] });
    assert.deepEqual(notes, ['fork: clones compiled code']);
    assert.equal(sections.length, 2);
  });

  it('shows no regions where nothing is compiled', () => {
    const plain = { ...row, regionsBefore: null, regionsAfter: null, ok: true };
    const { notes, sections } = clonePage({ rows: [plain] });
    assert.deepEqual([notes.length, sections.length], [0, 1]);
  });
});

describe('renderPage()', () => {
  const page = {
    title: 'a <title>',
    text: 'text',
    sections: [],
    notes: ['x < y'],
    table: 'a & b\n',
    rows: [{ name: '</script><b>' }],
  };
  const html = renderPage(page, describeHost(new Date(0)));

  it('contains its rows in a form that no text of theirs can end', () => {
    const json = /<script type="application\/json" id="rows">(.*)<\/script>/.exec(html)![1]!;
    assert.deepEqual(JSON.parse(json), { rows: page.rows });
  });

  it('escapes what it is given', () => {
    assert.match(html, /<h1>a &lt;title&gt;<\/h1>/);
    assert.match(html, /<li>x &lt; y<\/li>/);
    assert.match(html, /<pre>a &amp; b\n<\/pre>/);
  });

  it('needs no network and says when and where it was measured', () => {
    assert.doesNotMatch(html, /https?:|src=|@import|url\(/);
    assert.match(html, /1970-01-01 00:00:00 UTC/);
    assert.ok(html.includes(process.version));
  });
});
