import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkLayers, importsOf, layerOf } from '../../../tools/check_layers.ts';

function check(files: Record<string, string>) {
  return checkLayers(new Map(Object.entries(files)));
}

describe('importsOf()', () => {
  it('sees every way to name another file', () => {
    const text = `
      import type { A } from './a.ts';
      import { b } from './b.ts';
      export * from './c.ts';
      export type { D } from './d.ts';
      const e = await import('./e.ts');
      let f: import('./f.ts').F;
      // import { g } from './g.ts';
      const h = "import { x } from './h.ts'";
    `;
    assert.deepEqual(
      importsOf('x.ts', text).map(
        ({ specifier, typeOnly }) => `${specifier} ${typeOnly ? 'type' : 'value'}`,
      ),
      ['./a.ts type', './b.ts value', './c.ts value', './d.ts type', './e.ts value', './f.ts type'],
    );
  });
});

describe('layerOf()', () => {
  it('takes the longest folder of the table', () => {
    assert.equal(layerOf('fs/namei.ts'), 'fs');
    assert.equal(layerOf('fs/proc/array.ts'), 'fs/proc');
    assert.equal(layerOf('cpu/semantics/i.ts'), 'cpu');
    assert.equal(layerOf('index.ts'), '');
    assert.equal(layerOf('utils/x.ts'), undefined);
  });
});

describe('checkLayers()', () => {
  it('accepts imports downwards and within a folder', () => {
    const report = check({
      'lib/bits.ts': '',
      'mm/page.ts': "import { x } from '../lib/bits.ts';",
      'mm/fork.ts': "import { y } from './page.ts';",
      'index.ts': "export { z } from './mm/fork.ts';",
    });
    assert.deepEqual(report, { files: 4, breaks: [], cycles: [] });
  });

  it('refuses an import upwards, also of a type', () => {
    const report = check({
      'mm/a.ts': "import type { T } from '../kernel/b.ts';",
      'kernel/b.ts': '',
    });
    assert.deepEqual(report.breaks, ['mm/a.ts -> kernel/b.ts (type only): kernel is above mm']);
  });

  it('refuses an import across a row', () => {
    const report = check({ 'cpu/a.ts': "import { x } from '../mm/b.ts';", 'mm/b.ts': '' });
    assert.deepEqual(report.breaks, ['cpu/a.ts -> mm/b.ts: mm is on the same row as cpu']);
  });

  it('keeps fs/proc above kernel and fs below it', () => {
    const below = check({ 'fs/a.ts': "import { x } from '../kernel/b.ts';", 'kernel/b.ts': '' });
    assert.equal(below.breaks.length, 1);
    const above = check({
      'fs/proc/a.ts': "import { x } from '../../kernel/b.ts';",
      'kernel/b.ts': '',
    });
    assert.equal(above.breaks.length, 0);
  });

  it('refuses a folder that is in no layer, a missing file and a package in a pure layer', () => {
    const report = check({
      'utils/a.ts': "import { x } from '../lib/b.ts';",
      'lib/b.ts': "import { y } from './gone.ts';",
      'mm/c.ts': "import { z } from 'node:fs';",
    });
    assert.deepEqual(report.breaks, [
      'utils/a.ts: its folder is in no layer',
      'lib/b.ts -> ./gone.ts: no such file below src',
      'mm/c.ts -> node:fs: mm imports no packages',
    ]);
  });

  it('reports a cycle of type-only imports once, by its shortest way round', () => {
    const report = check({
      'mm/a.ts': "import type { B } from './b.ts';",
      'mm/b.ts': "import type { C } from './c.ts'; import { a } from './a.ts';",
      'mm/c.ts': "import type { A } from './a.ts';",
    });
    assert.deepEqual(report.cycles, ['mm/a.ts -> mm/b.ts -> mm/a.ts']);
  });

  it('reports a file that imports itself', () => {
    assert.deepEqual(check({ 'mm/a.ts': "import { a } from './a.ts';" }).cycles, [
      'mm/a.ts -> mm/a.ts',
    ]);
  });
});
