/**
 * Random memory programs over trees of processes: the host's own kernel and cowshed, with and
 * without shared page tables, see the same results, maps and contents. No frame is left.
 *
 * RANDOM_MEMORY sets how many programs (default 40), RANDOM_MEMORY_SEED the first.
 */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { platform, release } from 'node:os';
import { after, before, describe, it } from 'node:test';
import { buildNative, type NativeBuild } from '../../src/bench/guest_files.ts';
import type { MachineOptions } from '../../src/machine/machine.ts';
import {
  explain,
  HOST_TMPFS,
  hostRunner,
  machineRunner,
  parseDigests,
  PROGRAM,
  Totals,
  type Contender,
} from './random_memory.ts';

const PROGRAMS = Number(process.env['RANDOM_MEMORY'] ?? 40);
const FIRST_SEED = Number(process.env['RANDOM_MEMORY_SEED'] ?? 1);
/** Programs that one machine runs. */
const BATCH = 50;
/** A batch that takes longer has hung. */
const TIMEOUT_MS = 120_000;
/** Programs that differ and are cut down to what matters; the others are only counted. */
const EXPLAINED = 2;
const MIB = 1024 ** 2;
const MEMORY = 256 * MIB;
/** So little that the ballast, when it is taken, pushes almost everything else out. */
const SCARCE = { memory: 32 * MIB, swap: 256 * MIB } as const;
const BALLAST = 'ballast=28';
/** Who else maps a page depends on what is in swap, so it is compared where nothing is. */
const PSS = ['pss'];
/** mremap() of several mappings, and how mappings merge, are as the machine does them from here on. */
const FIRST_RELEASE = [6, 17] as const;

const HOST = 'the host';

interface Mode {
  readonly name: string;
  readonly options: MachineOptions;
  /** What all kernels are told. */
  readonly words: readonly string[];
  /** What only this machine is told. */
  readonly extra: readonly string[];
  /** How many of the programs: the rarer modes are the slower ones. */
  readonly share: number;
}

const MODES: readonly Mode[] = [
  {
    name: 'default fork',
    options: { memory: MEMORY, cowPte: false },
    words: PSS,
    extra: [],
    share: 1,
  },
  {
    name: 'COW page tables',
    options: { memory: MEMORY, cowPte: true },
    words: PSS,
    extra: [],
    share: 1,
  },
  {
    name: 'COW page tables on and off',
    options: { memory: MEMORY, cowPte: true },
    words: PSS,
    extra: ['toggle'],
    share: 1 / 2,
  },
  {
    name: 'default fork and little memory',
    options: { ...SCARCE, cowPte: false },
    words: [],
    extra: [BALLAST],
    share: 1 / 4,
  },
  {
    name: 'COW page tables and little memory',
    options: { ...SCARCE, cowPte: true },
    words: [],
    extra: [BALLAST],
    share: 1 / 2,
  },
];

/** Why the host's kernel cannot be compared with, or false. */
function whyNot(): string | false {
  if (platform() !== 'linux') return 'the host is not Linux';
  if (process.getuid?.() !== 0) return 'the programs lift limits and want root';
  if (!existsSync(HOST_TMPFS)) return `${HOST_TMPFS} is missing`;
  const [major, minor] = release().split('.').map(Number) as [number, number];
  const old = major < FIRST_RELEASE[0] || (major === FIRST_RELEASE[0] && minor < FIRST_RELEASE[1]);
  return old ? `Linux ${release()} is older than ${FIRST_RELEASE.join('.')}` : false;
}

/** Digests by seed; of a program that did not end, what was printed instead. */
async function runAll(
  { run }: Contender,
  words: readonly string[],
  programs: number,
): Promise<Map<number, string>> {
  const digests = new Map<number, string>();
  const end = FIRST_SEED + programs;
  for (let seed = FIRST_SEED; seed < end; ) {
    const count = Math.min(BATCH, end - seed);
    const output = await run([String(seed), String(count), ...words]);
    const done = parseDigests(output);
    for (const [of, digest] of done) digests.set(of, digest);
    seed += done.size;
    if (done.size < count) digests.set(seed++, output.trimEnd().split('\n').at(-1) ?? 'nothing');
  }
  return digests;
}

async function compare(reference: Reference, mode: Mode): Promise<void> {
  const totals = new Totals();
  const run = machineRunner(mode.options, TIMEOUT_MS, totals);
  const contender = {
    name: mode.name,
    run: (args: readonly string[]) => run([...args, ...mode.extra]),
  };
  const expected = await reference.digests(mode.words);
  const programs = Math.ceil(PROGRAMS * mode.share);
  const actual = await runAll(contender, mode.words, programs);
  console.log(`${programs} programs with ${mode.name}: ${totals}`);
  const different: number[] = [];
  for (let seed = FIRST_SEED; seed < FIRST_SEED + programs; seed++) {
    if (actual.get(seed) !== expected.get(seed)) different.push(seed);
  }
  if (different.length === 0) return;
  const reports = [`${different.length} of ${programs} programs differ: ${different.join(' ')}`];
  for (const seed of different.slice(0, EXPLAINED)) {
    reports.push(await explain(seed, reference.contender, contender, mode.words));
  }
  assert.fail(reports.join('\n'));
}

/** The kernel that the others are compared with. */
class Reference {
  readonly contender: Contender;
  private readonly known = new Map<string, Promise<Map<number, string>>>();

  constructor(contender: Contender) {
    this.contender = contender;
  }

  digests(words: readonly string[]): Promise<Map<number, string>> {
    const key = words.join(' ');
    let digests = this.known.get(key);
    if (digests === undefined) {
      digests = runAll(this.contender, words, PROGRAMS);
      this.known.set(key, digests);
    }
    return digests;
  }
}

describe('random memory programs', () => {
  const first = MODES[0]!;
  let reference = new Reference({
    name: first.name,
    run: machineRunner(first.options, TIMEOUT_MS, new Totals()),
  });
  let native: NativeBuild | undefined;
  const reason = whyNot();

  before(() => {
    if (reason !== false) return;
    native = buildNative([PROGRAM]);
    if (!native.ok) return;
    const run = hostRunner(native.path(PROGRAM), TIMEOUT_MS);
    reference = new Reference({ name: HOST, run });
  });
  after(() => {
    if (native?.ok === true) native.dispose();
  });

  it('do not differ from one run to the next', async () => {
    const expected = await reference.digests(PSS);
    assert.equal(expected.size, PROGRAMS);
    const output = await reference.contender.run([String(FIRST_SEED), '1', ...PSS]);
    assert.equal(parseDigests(output).get(FIRST_SEED), expected.get(FIRST_SEED));
  });

  it("are compared with the host's own kernel", (t) => {
    if (reason !== false) return t.skip(reason);
    if (native?.ok === false) return t.skip(native.reason);
    assert.equal(reference.contender.name, HOST);
  });

  for (const mode of MODES) {
    it(`see the same with ${mode.name}`, () => compare(reference, mode));
  }
});
