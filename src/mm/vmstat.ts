/** Counters of /proc/vmstat, since boot. */

export class VmStat {
  pgfault = 0;
  pgmajfault = 0;
  /** Anonymous pages copied on a write, and taken over because nobody else had them. */
  pgcow = 0;
  pgreuse = 0;
  /** Page-table entries that fork pointed at an existing table. */
  cowPteShared = 0;
  /** Shared tables made private by copying, and by taking over. */
  cowPteBreakCopy = 0;
  cowPteBreakReuse = 0;
  /** Tables fork had to copy although sharing was on. */
  cowPteFallback = 0;
  /** Shared tables that an mm let go of whole, without looking at their entries. */
  cowPteDrop = 0;
  oomKill = 0;
}
