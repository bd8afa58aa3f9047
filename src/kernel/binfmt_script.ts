/** `#!` scripts: the first line names the program that runs them. @linux fs/binfmt_script.c */

import { ENOEXEC } from '../uapi/errno.ts';
import { BINPRM_BUF_SIZE, type LinuxBinprm } from './binfmt.ts';

const HASH_BANG = '#!';

/** The line's two parts. The argument is everything after the interpreter, spaces included. */
interface ScriptLine {
  readonly interp: string;
  readonly arg: string | null;
}

/** @returns the parts, or -ENOEXEC: no interpreter named, or its path may be cut off. */
function parseLine(buf: Uint8Array): ScriptLine | number {
  const text = Buffer.from(buf.buffer, buf.byteOffset, buf.byteLength).toString('latin1');
  let end = text.indexOf('\n');
  if (end < 0) {
    // A path that ends within the buffer is whole even when the line is not.
    const rest = text.slice(HASH_BANG.length).replace(/^[ \t]+/, '');
    if (rest.search(/[ \t\0]/) < 0) return -ENOEXEC;
    end = text.indexOf('\0') >= 0 ? text.indexOf('\0') : BINPRM_BUF_SIZE - 1;
  }
  const nul = text.indexOf('\0');
  if (nul >= 0 && nul < end) end = nul;
  const line = text.slice(HASH_BANG.length, end).replace(/^[ \t]+|[ \t]+$/g, '');
  if (line === '') return -ENOEXEC;
  const gap = line.search(/[ \t]/);
  if (gap < 0) return { interp: line, arg: null };
  return { interp: line.slice(0, gap), arg: line.slice(gap).replace(/^[ \t]+/, '') };
}

export function isScript(buf: Uint8Array): boolean {
  return buf[0] === 0x23 && buf[1] === 0x21;
}

/**
 * Rewrites argv for the interpreter of the script in `bprm`; the caller opens it.
 * @returns the interpreter's path, or -ENOEXEC.
 */
export function loadScript(bprm: LinuxBinprm): string | number {
  const line = parseLine(bprm.buf);
  if (typeof line === 'number') return line;
  const head = line.arg === null ? [line.interp] : [line.interp, line.arg];
  bprm.argv = [...head, bprm.interp, ...bprm.argv.slice(1)];
  bprm.interp = line.interp;
  return line.interp;
}
