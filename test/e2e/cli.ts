/** Runs the command line program as a user does, for tests. */

import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { createRequire } from 'node:module';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const loader = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;

export interface CliRun {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Standard input; none by default. */
  readonly input?: string | Buffer;
  /** Leaves standard input open behind the input. */
  readonly keepInput?: boolean;
  /** Called with the child once it runs: to send it signals. */
  readonly started?: (child: ReturnType<typeof spawn>) => void;
}

/** The environment without what would change where cowshed looks for things. */
function cleanEnvironment(extra: Readonly<Record<string, string>> | undefined): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^COWSHED_|_proxy$|^NODE_TEST|^NODE_OPTIONS$/i.test(name),
  );
  return { ...Object.fromEntries(kept), ...extra };
}

export function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliRun> {
  return new Promise((resolve, reject) => {
    const child = spawn(
      process.execPath,
      ['--import', loader, join(root, 'src', 'cli', 'main.ts'), ...args],
      {
        cwd: options.cwd ?? root,
        env: cleanEnvironment(options.env),
        stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      },
    );
    let stdout = '';
    let stderr = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      stdout += chunk.toString('latin1');
    });
    child.stderr?.on('data', (chunk: Buffer) => {
      stderr += chunk.toString('latin1');
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
    child.stdin?.on('error', () => undefined);
    if (options.keepInput === true) child.stdin?.write(options.input ?? '');
    else child.stdin?.end(options.input);
    options.started?.(child);
  });
}
