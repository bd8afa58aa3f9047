/** Input for workloads: text and JavaScript that look like what people write, from a fixed seed. */

import { Buffer } from 'node:buffer';

const VOCABULARY = 4096;
/** Bytes that are no text, among the words: one in so many words is of them. */
const NOISE_EVERY = 23;

/** xorshift32. @returns a function that gives whole numbers below `limit`. */
function randomNumbers(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}

function randomWord(random: (limit: number) => number): string {
  let word = '';
  for (let left = 2 + random(9); left > 0; left--) word += String.fromCharCode(97 + random(26));
  return word;
}

/** Words, common ones more often, with numbers between them. */
export function textBytes(bytes: number): Uint8Array {
  const random = randomNumbers(0x2545f491);
  const words = Array.from({ length: VOCABULARY }, () => randomWord(random));
  const out = Buffer.alloc(bytes);
  for (let at = 0; at < bytes; ) {
    // The smaller of two numbers is a small one more often.
    const word =
      random(NOISE_EVERY) === 0
        ? String(random(1_000_000_000))
        : words[Math.min(random(VOCABULARY), random(VOCABULARY))]!;
    at += out.write(`${word}${random(12) === 0 ? '\n' : ' '}`, at, 'latin1');
  }
  return out;
}

const STATEMENTS = [
  (a: string, b: string) => `  const ${a} = input.map((item) => item.${b} ?? item.length * 3);`,
  (a: string, b: string) => `  if (state.${a} > limit) { state.${b} = limit - state.${a}; }`,
  (a: string, b: string) =>
    `  for (const ${a} of input) { total += ${a}.size / 2; log(\`${b}\`); }`,
  (a: string, b: string) => `  // The ${a} must come before the ${b}, which needs it.`,
  (a: string, b: string) => `  try { await ${a}(state); } catch (error) { report('${b}', error); }`,
  (a: string, b: string) =>
    `  switch (state.${a}) { case 1: return total; case 2: total ^= 0x${b.length}f; }`,
];

function moduleText(
  index: number,
  random: (limit: number) => number,
  words: readonly string[],
): string {
  const lines: string[] = [];
  const imports = index === 0 ? [] : [random(index), random(index)];
  for (const other of new Set(imports))
    lines.push(`import { run${other} as dependency${other} } from './module_${other}.js';`);
  lines.push('const log = (text) => console.log(text);', 'const report = console.error;');
  for (let i = 0; i < 12; i++) {
    lines.push(`async function step${i}(input, state, limit) {`, '  let total = 0;');
    const names = words.slice(i * 16);
    for (let k = 0; k < 8; k++) {
      const statement = STATEMENTS[random(STATEMENTS.length)]!;
      // Declared names must differ within a function.
      lines.push(statement(`${names[k]}${k}`, names[8 + k] ?? 'value'));
    }
    lines.push('  return total;', '}');
  }
  const calls = [...new Set(imports)].map((other) => `dependency${other}(input)`);
  const steps = Array.from({ length: 12 }, (_, i) => `step${i}(input, { ${words[i]}: ${i} }, 9)`);
  lines.push(`export const run${index} = (input) => [${[...calls, ...steps].join(', ')}];`);
  return `${lines.join('\n')}\n`;
}

/** Modules that import each other, and `main.js`, which imports all: names and texts. */
export function bundleSources(modules: number): [file: string, text: string][] {
  const random = randomNumbers(0x1234567);
  const files: [string, string][] = [];
  for (let i = 0; i < modules; i++) {
    const words = Array.from({ length: 12 * 16 }, () => `${randomWord(random)}_`);
    files.push([`module_${i}.js`, moduleText(i, random, words)]);
  }
  const imports = files.map(([file], i) => `import { run${i} } from './${file}';`);
  const calls = files.map((_, i) => `run${i}([])`);
  files.push(['main.js', `${imports.join('\n')}\nconsole.log(${calls.join(', ')});\n`]);
  return files;
}
