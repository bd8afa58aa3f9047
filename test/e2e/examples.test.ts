import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';

describe('examples', () => {
  it('clone a running program from the host', () => {
    const run = spawnSync(process.execPath, ['examples/fork_from_outside.mjs'], {
      encoding: 'utf8',
    });
    assert.equal(run.stderr, '');
    assert.equal(run.status, 0);
    assert.match(run.stdout, /^the original runs\nthe first clone: \d+ bytes resident/);
    assert.match(run.stdout, /the first clone runs\nthe first clone ended with 0\n/);
    assert.match(run.stdout, /the second clone runs\nthe second clone ended with 0\n$/);
  });

  it('watch page tables', () => {
    const run = spawnSync(process.execPath, ['examples/watch_page_tables.mjs'], {
      encoding: 'utf8',
    });
    assert.equal(run.stderr, '');
    assert.equal(run.status, 0);
    assert.match(run.stdout, /^process \d+ forks: its first child is \d+$/m);
    assert.match(run.stdout, /^\d+ forks shared [1-9]\d* subtrees of the page tables$/m);
    assert.match(run.stdout, /^writes then copied [1-9]\d* tables and took [1-9]\d* over$/m);
  });
});
