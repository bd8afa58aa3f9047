/**
 * Makes a fresh clone usable: installs what is missing, builds what is stale, then does what it
 * was asked. Plain JavaScript without dependencies, because it runs before there are any.
 *
 *     node tools/bootstrap.mjs run ARGS...     the command line program, from the bundle
 *     node tools/bootstrap.mjs test FILES...   the tests, all of them without FILES
 *     node tools/bootstrap.mjs tool FILE ARGS  a TypeScript program of tools/ or bench/
 *     node tools/bootstrap.mjs build           the bundle
 */

import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');
const stampFile = join(dist, '.stamp');
/** Milliseconds one test file may take; property runs at full size are the slowest. */
const TEST_TIMEOUT_MS = 40 * 60 * 1000;
const TEST_FOLDERS = ['unit', 'series', 'differential', 'conformance', 'e2e'];

function say(message) {
  process.stderr.write(`${message}\n`);
}

function fail(message) {
  say(message);
  process.exit(1);
}

function readJson(file) {
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
}

/** Whether node_modules has each package of package-lock.json in its version. */
function dependenciesAreInstalled() {
  const installed = readJson(join(root, 'node_modules', '.package-lock.json'))?.packages;
  if (installed === undefined) return false;
  const wanted = Object.entries(readJson(join(root, 'package-lock.json')).packages);
  return wanted.every(([path, { version, optional }]) => {
    const found = installed[path]?.version;
    return path === '' || found === version || (optional === true && found === undefined);
  });
}

/** Installs the packages of package-lock.json where they are not there yet. */
function ensureDependencies() {
  if (dependenciesAreInstalled()) return;
  say('Installing dependencies (npm ci)');
  const windows = process.platform === 'win32';
  const done = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    shell: windows,
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
  });
  if (done.status !== 0) {
    fail(
      `Cannot install dependencies: npm ci ended with ${done.status ?? done.error}\n${done.stdout}${done.stderr}`,
    );
  }
}

function* filesBelow(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesBelow(path);
    else yield path;
  }
}

/** A digest that changes when any input of the bundle is edited, added or removed. */
function inputsDigest() {
  const inputs = [
    ...filesBelow(join(root, 'src')),
    join(root, 'package.json'),
    join(root, 'rolldown.config.mjs'),
  ];
  const hash = createHash('sha256');
  for (const file of inputs.sort()) {
    const { mtimeMs, size } = statSync(file);
    hash.update(`${relative(root, file)}:${mtimeMs}:${size}\n`);
  }
  return hash.digest('hex');
}

function bundleIsFresh(digest) {
  return existsSync(stampFile) && readFileSync(stampFile, 'utf8') === digest;
}

/**
 * Bundles into a folder of its own and moves the files into place, so that a program started
 * meanwhile reads whole files only.
 */
async function ensureBundle() {
  const digest = inputsDigest();
  if (bundleIsFresh(digest)) return;
  const { rolldown } = await import('rolldown');
  const { default: config } = await import(pathToFileURL(join(root, 'rolldown.config.mjs')).href);
  const staging = join(root, '.cache', `build-${process.pid}`);
  try {
    const bundle = await rolldown({ ...config, cwd: root });
    await bundle.write({ ...config.output, dir: staging });
    await bundle.close();
    for (const file of filesBelow(staging)) {
      const target = join(dist, relative(staging, file));
      mkdirSync(dirname(target), { recursive: true });
      renameSync(file, target);
    }
    writeFileSync(stampFile, digest);
  } catch (error) {
    fail(`Cannot build the bundle: ${error.message}`);
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

function testFiles(named) {
  if (named.length > 0) return named;
  const folders = TEST_FOLDERS.map((name) => join(root, 'test', name)).filter((folder) =>
    existsSync(folder),
  );
  return folders
    .flatMap((folder) => [...filesBelow(folder)])
    .filter((file) => file.endsWith('.test.ts'));
}

function testArgs(named) {
  const files = testFiles(named);
  if (files.length === 0) fail('Cannot run the tests: no file ends in .test.ts');
  const reporter = join(root, 'tools', 'test_reporter.mjs');
  return [
    '--import',
    'tsx',
    '--test',
    `--test-timeout=${TEST_TIMEOUT_MS}`,
    `--test-reporter=${pathToFileURL(reporter).href}`,
    '--test-reporter-destination=stdout',
    ...files.sort(),
  ];
}

/** Runs node with `args` and ends as it ends, by exit code or by signal. */
function becomeNode(args) {
  const child = spawn(process.execPath, args, { cwd: root, stdio: 'inherit' });
  const forward = (signal) => child.kill(signal);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, forward);
  child.on('exit', (code, signal) =>
    process.exit(signal === null ? code : 128 + constants.signals[signal]),
  );
}

/** Runs the bundled program in this process: stdin, signals and the exit code are its own. */
async function runCli(args) {
  const program = join(dist, 'cli.js');
  const startedIn = process.env.INIT_CWD;
  if (startedIn?.startsWith(root)) process.chdir(startedIn);
  process.argv = [process.argv[0], program, ...args];
  await import(pathToFileURL(program).href);
}

async function main([command, ...args]) {
  ensureDependencies();
  switch (command) {
    case 'build':
      return ensureBundle();
    case 'run':
      await ensureBundle();
      return runCli(args);
    case 'test':
      if (args.length === 0 || args.some((file) => file.includes('e2e'))) await ensureBundle();
      return becomeNode(testArgs(args));
    case 'tool':
      return becomeNode(['--import', createRequire(import.meta.url).resolve('tsx'), ...args]);
    default:
      return fail(`Unknown command "${command ?? ''}": want build, run, test or tool`);
  }
}

await main(process.argv.slice(2));
