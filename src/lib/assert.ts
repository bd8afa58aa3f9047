/** Assertions for states that cannot happen. A failed one ends the machine and is never caught. */

/** The kernel found its own state broken: the machine cannot go on, the host process can. */
export class KernelBug extends Error {
  override readonly name = 'KernelBug';
}

/** Stops the machine: `bug('page_add_anon_rmap: mapcount overflow')`. */
export function bug(message: string): never {
  throw new KernelBug(`kernel BUG: ${message}`);
}

export function bugOn(condition: boolean, message: string): void {
  if (condition) bug(message);
}
