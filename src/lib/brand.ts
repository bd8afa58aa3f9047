/** Nominal types over primitives: the one way to make Pfn, Vaddr, Pte and kin. */

declare const brand: unique symbol;

/** `Brand<number, 'Pfn'>` is a number at run time and its own type for the compiler. */
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };
