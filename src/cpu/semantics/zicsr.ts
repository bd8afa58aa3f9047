/** Zicsr (Unprivileged chapter 9): the work is done by csr_file.ts. */

import type { Semantics } from '../emitter.ts';

const csr: Semantics = (e) => e.csr();

export const ZICSR_SEMANTICS: Readonly<Record<string, Semantics>> = {
  csrrw: csr,
  csrrs: csr,
  csrrc: csr,
  csrrwi: csr,
  csrrsi: csr,
  csrrci: csr,
};
