import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ratioOf, significant, textTable } from '../../../src/bench/table.ts';

describe('textTable()', () => {
  it('right-aligns numbers and left-aligns words', () => {
    const text = textTable(
      ['mapped', 'mode', 'time'],
      [
        ['0 MiB', 'native', '1 us'],
        ['1024 MiB', 'default', '17600 us'],
      ],
    );
    assert.equal(
      text,
      [
        '  mapped  mode         time',
        '   0 MiB  native       1 us',
        '1024 MiB  default  17600 us',
        '',
      ].join('\n'),
    );
  });
});

describe('significant()', () => {
  it('keeps three digits and all of a large number', () => {
    assert.deepEqual([0, 0.00795, 0.795, 17.64, 1048576, Number.NaN].map(significant), [
      '0',
      '0.00795',
      '0.795',
      '17.6',
      '1048576',
      '-',
    ]);
  });
});

describe('ratioOf()', () => {
  it('says how small or how large a part is', () => {
    assert.equal(ratioOf(8, 17_600), '1/2200');
    assert.equal(ratioOf(30, 10), '3.00x');
    assert.equal(ratioOf(1, Number.NaN), '-');
  });
});
