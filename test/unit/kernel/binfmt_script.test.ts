import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { LinuxBinprm } from '../../../src/kernel/binfmt.ts';
import { isScript, loadScript } from '../../../src/kernel/binfmt_script.ts';
import { ENOEXEC } from '../../../src/uapi/errno.ts';

function script(text: string): LinuxBinprm {
  const buf = new Uint8Array(256);
  buf.set(Buffer.from(text, 'latin1').subarray(0, 256));
  const argv = ['sh', 'one', 'two'];
  return { file: null as never, filename: '/s', interp: '/s', argv, envp: [], buf };
}

describe('loadScript()', () => {
  const cases: readonly [string, string, readonly string[]][] = [
    ['#!/bin/sh\n', '/bin/sh', ['/bin/sh', '/s', 'one', 'two']],
    ['#!/bin/sh', '/bin/sh', ['/bin/sh', '/s', 'one', 'two']],
    ['#! \t/bin/sh -e\n', '/bin/sh', ['/bin/sh', '-e', '/s', 'one', 'two']],
    ['#!/usr/bin/env  a b c \nrest', '/usr/bin/env', ['/usr/bin/env', 'a b c', '/s', 'one', 'two']],
  ];
  for (const [text, interp, argv] of cases) {
    it(`runs ${JSON.stringify(text)} with ${argv.join(' ')}`, () => {
      const bprm = script(text);
      assert.ok(isScript(bprm.buf));
      assert.equal(loadScript(bprm), interp);
      assert.deepEqual(bprm.argv, argv);
      assert.equal(bprm.interp, interp);
    });
  }

  it('refuses a line without an interpreter', () => {
    assert.equal(loadScript(script('#!\n')), -ENOEXEC);
    assert.equal(loadScript(script('#!   \n/bin/sh')), -ENOEXEC);
  });

  it('refuses an interpreter that may be cut off', () => {
    assert.equal(loadScript(script(`#!/${'x'.repeat(300)}`)), -ENOEXEC);
  });

  it('cuts an argument that does not fit', () => {
    const bprm = script(`#!/bin/sh ${'y'.repeat(300)}`);
    assert.equal(loadScript(bprm), '/bin/sh');
    assert.ok(bprm.argv[1]!.length < 256);
  });
});
