/**
 * Programs that people run, as they are started by hand: whole processes of Debian's riscv64
 * packages, and esbuild. What they read is generated, the same in every run.
 */

import { copyFileSync, chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { esbuildProgram } from './esbuild_package.ts';
import { bundleSources, textBytes } from './workload_data.ts';

/** A workload whose input lies in a folder of its own. */
export interface PreparedWorkload {
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  /** Its working directory. */
  readonly folder: string;
  readonly stdin?: string | undefined;
  /** Programs of no root file system, in `folder`: for riscv64 and for this host. */
  readonly guestProgram?: string | undefined;
  readonly hostProgram?: string | undefined;
}

/** What a workload is made from. */
export interface WorkloadContext {
  readonly rootfs: string | null;
  /** Where downloads are kept. */
  readonly cacheDir: string;
  /** An empty folder. */
  readonly folder: string;
  /** Work, 1 is what the names promise. */
  readonly scale: number;
}

interface Workload {
  readonly name: string;
  /** @throws Error with the reason why this host cannot run it. */
  readonly prepare: (context: WorkloadContext) => PreparedWorkload;
}

const SQL_ROWS = 20_000;
const PYTHON_ROUNDS = 1_000_000;
const LUA_ITEMS = 60_000;
const TEXT_BYTES = 8 * 1024 ** 2;
const BUNDLE_MODULES = 200;

function sqlScript(rows: number): string {
  return `create table t(a integer primary key, b text, c real);
with recursive n(i) as (values(1) union all select i + 1 from n where i < ${rows})
  insert into t select i, hex((i * 7919) % 10007), i / 7.0 from n;
select count(*), sum(a), min(b), max(b), round(avg(c), 6), total(c) from t;
create index tb on t(b);
select a, b, c from t where b = hex(4242) order by a;
update t set c = c * 1.5 where a % 3 = 0;
delete from t where a % 7 = 0;
select count(*), printf('%.4f', sum(c)) from t;
select group_concat(b, ',') from (select b from t order by c desc limit 20);
select x.a % 10, count(*), sum(length(y.b)) from t x join t y on y.b = x.b group by 1 order by 1;
pragma integrity_check;
`;
}

function pythonLoop(rounds: number): string {
  return `total = 0
text = {}
for i in range(${rounds}):
    total = (total * 31 + i) % 1000003
    if total % 97 == 0:
        text[total] = str(i)
print(total, len(text), sum(len(t) for t in text.values()))
`;
}

function luaSort(items: number): string {
  return `local state, list = 1, {}
for i = 1, ${items} do
  state = (state * 1103515245 + 12345) & 0x7fffffff
  list[i] = string.format("%08x", state)
end
table.sort(list)
local numbers = {}
for i, s in ipairs(list) do numbers[i] = tonumber(s, 16) * 7919 % 1000003 end
table.sort(numbers, function(a, b) return a > b end)
print(list[1], list[#list], numbers[1], numbers[#numbers], table.concat(list, "", 1, 4))
`;
}

/** A program of the root file system with a script or data on its standard input. */
function debianWorkload(
  name: string,
  command: readonly [string, ...string[]],
  input: (scale: number) => string | Uint8Array,
): Workload {
  const [program, ...args] = command;
  return {
    name,
    prepare({ rootfs, folder, scale }) {
      if (rootfs === null)
        throw new Error('there is no root file system: cowshed pull --lock debian.lock.json');
      if (!existsSync(join(rootfs, 'usr/bin', program)))
        throw new Error(`${rootfs} has no ${program}: cowshed pull --lock debian.lock.json`);
      const stdin = join(folder, 'stdin');
      writeFileSync(stdin, input(scale));
      return { name, program, args, folder, stdin };
    },
  };
}

const ESBUILD: Workload = {
  name: 'esbuild',
  prepare({ cacheDir, folder, scale }) {
    const riscv = esbuildProgram(cacheDir, 'linux-riscv64');
    for (const [file, text] of bundleSources(Math.ceil(BUNDLE_MODULES * scale)))
      writeFileSync(join(folder, file), text);
    // Beside the sources, so that a machine needs to see one folder only.
    const guestProgram = join(folder, 'esbuild');
    copyFileSync(riscv, guestProgram);
    chmodSync(guestProgram, 0o755);
    const native = process.arch === 'arm64' ? 'linux-arm64' : 'linux-x64';
    return {
      name: 'esbuild',
      program: 'esbuild',
      args: ['main.js', '--bundle', '--minify'],
      folder,
      guestProgram,
      hostProgram: esbuildProgram(cacheDir, native),
    };
  },
};

const text = (scale: number): Uint8Array => textBytes(Math.round(TEXT_BYTES * scale));

export const WORKLOADS: readonly Workload[] = [
  debianWorkload('sqlite3', ['sqlite3', ':memory:'], (scale) =>
    sqlScript(Math.ceil(SQL_ROWS * scale)),
  ),
  debianWorkload('python3', ['python3', '-'], (scale) =>
    pythonLoop(Math.ceil(PYTHON_ROUNDS * scale)),
  ),
  debianWorkload('lua', ['lua5.4', '-'], (scale) => luaSort(Math.ceil(LUA_ITEMS * scale))),
  debianWorkload('gzip', ['gzip', '-n', '-c'], text),
  // One thread, since the number of processors would decide where blocks end.
  debianWorkload('xz', ['xz', '-T1', '-0', '-c'], text),
  ESBUILD,
];

/** Makes the input of a workload in a folder below `context.folder`. */
export function prepareWorkload(workload: Workload, context: WorkloadContext): PreparedWorkload {
  const folder = join(context.folder, workload.name);
  mkdirSync(folder, { recursive: true });
  return workload.prepare({ ...context, folder });
}
