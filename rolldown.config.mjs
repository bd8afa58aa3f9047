/**
 * One ESM bundle per entry point. Everything from lib to machine goes into one chunk: page-table
 * loops that cross module boundaries at run time are more than twice as slow.
 */
import { defineConfig } from 'rolldown';

const CORE = /[\\/]src[\\/](?:lib|uapi|arch|cpu|mm|fs|net|kernel|syscalls|machine)[\\/]/;

export default defineConfig({
  input: { index: 'src/index.ts', mm: 'src/mm.ts', cli: 'src/cli/main.ts' },
  platform: 'node',
  external: [/^node:/, 'commander', /^modern-tar/, 'openpgp', 'xz-decompress'],
  output: {
    dir: 'dist',
    format: 'esm',
    entryFileNames: '[name].js',
    chunkFileNames: '[name].js',
    codeSplitting: { groups: [{ name: 'core', test: CORE }] },
  },
});
