/** Why a program cannot be run, in words: what the errno of exec does not say. */

import type { File } from '../fs/fs_types.ts';
import { kernelRead } from '../kernel/binfmt.ts';
import { elfHeaderProblem, interpreterPath, readElf } from '../kernel/binfmt_elf.ts';
import { isScript } from '../kernel/binfmt_script.ts';
import { EHDR_BYTES } from '../uapi/elf.ts';
import { EACCES, EIO, ELIBBAD, ENOENT, ENOEXEC } from '../uapi/errno.ts';

function interpreterOf(file: File, head: Uint8Array): string | null {
  if (isScript(head)) return 'the interpreter that its first line names';
  const image = readElf(file, head, ENOEXEC);
  if (typeof image === 'number') return null;
  const path = interpreterPath(image);
  return typeof path === 'string' ? `its interpreter ${path}` : null;
}

/** @returns the explanation, undefined when the errno says it all. */
export function explainExec(file: File, errno: number): string | undefined {
  const head = new Uint8Array(EHDR_BYTES * 4);
  const size = kernelRead(file, head, 0);
  const view = new DataView(head.buffer, 0, EHDR_BYTES);
  switch (-errno) {
    case ENOEXEC:
      if (size === 0) return 'the file is empty';
      if (isScript(head)) return 'its first line names no interpreter';
      return elfHeaderProblem(view) ?? 'its ELF headers are damaged';
    case ENOENT:
    case EACCES:
    case ELIBBAD:
    case EIO: {
      const interpreter = interpreterOf(file, head);
      if (interpreter === null) return undefined;
      if (-errno === ENOENT) return `${interpreter} does not exist`;
      return `${interpreter} cannot be used`;
    }
    default:
      return undefined;
  }
}
