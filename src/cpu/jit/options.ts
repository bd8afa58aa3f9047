/** How the compiler behaves. */
export interface JitOptions {
  /** Compile at all. Default true. */
  readonly enabled?: boolean | undefined;
  /**
   * Samples at one place until it is compiled; 0 compiles everything when it first runs. One
   * sample is taken every SAMPLE_PERIOD interpreted instructions.
   */
  readonly threshold?: number | undefined;
}

/** Chosen by what python3's start and loops take: fewer compile too much that runs too little. */
export const DEFAULT_THRESHOLD = 60;

/** Most instructions of a region that starts at one place, and of one that joins several. */
export const MAX_REGION_INSNS = 300;
export const MAX_JOINED_INSNS = 3000;
