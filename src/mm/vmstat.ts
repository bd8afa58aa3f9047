/** Counters of /proc/vmstat, since boot. */

export class VmStat {
  pgfault = 0;
  pgmajfault = 0;
  /** Anonymous pages copied on a write, and taken over because nobody else had them. */
  pgcow = 0;
  pgreuse = 0;
  /** By level of the table (LEVEL_PTE, LEVEL_PMD, LEVEL_PUD): entries pointed at a table that another entry names too. */
  readonly cowShared = new Float64Array(3);
  /** Shared tables made private by copying, and by taking over. */
  readonly cowBreakCopy = new Float64Array(3);
  readonly cowBreakReuse = new Float64Array(3);
  /** Shared tables that an mm let go of whole, without looking at their entries. */
  readonly cowDrop = new Float64Array(3);
  /** Leaf tables fork had to copy although sharing was on. */
  cowPteFallback = 0;
  oomKill = 0;
}
