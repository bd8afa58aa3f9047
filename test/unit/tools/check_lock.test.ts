import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { missingEntries, platformEntry } from '../../../tools/check_lock.ts';

describe('platformEntry()', () => {
  it('reads the platform from the name', () => {
    assert.deepEqual(platformEntry('@oxlint/binding-linux-x64-musl', '1.2.3', true), {
      version: '1.2.3',
      cpu: ['x64'],
      dev: true,
      libc: ['musl'],
      optional: true,
      os: ['linux'],
    });
    assert.deepEqual(platformEntry('@biomejs/cli-darwin-arm64', '1.2.3', false), {
      version: '1.2.3',
      cpu: ['arm64'],
      optional: true,
      os: ['darwin'],
    });
  });
});

describe('missingEntries()', () => {
  it('lists optional packages without an entry', () => {
    const lock = {
      packages: {
        'node_modules/a': {
          optionalDependencies: { 'a-linux-x64': '1.0.0', 'a-win32-x64': '1.0.0' },
        },
        'node_modules/a-linux-x64': { version: '1.0.0' },
      },
    };
    assert.deepEqual(Object.keys(missingEntries(lock)), ['node_modules/a-win32-x64']);
  });
});
