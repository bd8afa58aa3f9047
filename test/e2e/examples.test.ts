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
});
