/**
 * One ESM bundle per entry point. Everything from lib to machine goes into one chunk: page-table
 * loops that cross module boundaries at run time are more than twice as slow.
 */
import { readFileSync } from 'node:fs';
import { defineConfig } from 'rolldown';

const CORE = /[\\/]src[\\/](?:lib|uapi|arch|cpu|mm|fs|net|kernel|syscalls|machine)[\\/]/;

const { dependencies } = JSON.parse(
  readFileSync(new URL('./package.json', import.meta.url), 'utf8'),
);

export default defineConfig({
  input: { index: 'src/index.ts', mm: 'src/mm.ts', cli: 'src/cli/main.ts' },
  platform: 'node',
  external: [/^node:/, ...Object.keys(dependencies).map((name) => new RegExp(`^${name}(?:/|$)`))],
  output: {
    dir: 'dist',
    format: 'esm',
    entryFileNames: '[name].js',
    chunkFileNames: '[name].js',
    codeSplitting: { groups: [{ name: 'core', test: CORE }] },
  },
});
