/** Counters of /proc/vmstat, since boot. */

import { FALLBACK_NAMES, INPLACE_NAMES } from './events.ts';

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
  /** Leaf tables fork had to copy although sharing was on: all, and by reason (FALLBACK_*). */
  cowPteFallback = 0;
  readonly cowFallback = new Float64Array(FALLBACK_NAMES.length);
  /** Mappings changed through an entry of a table that others use too (INPLACE_*), not counting the one for which it was written. */
  readonly cowInplace = new Float64Array(INPLACE_NAMES.length);
  /** Pins (FOLL_PIN) of pages ever taken and ended. */
  nrFollPinAcquired = 0;
  nrFollPinReleased = 0;
  oomKill = 0;
  /** Pages read from and written to swap. */
  pswpin = 0;
  pswpout = 0;
  /** Pages that became active, and inactive again. */
  pgactivate = 0;
  pgdeactivate = 0;
  /** Pages made lazily freeable (MADV_FREE), and those that were then dropped. */
  pglazyfree = 0;
  pglazyfreed = 0;
  /** Active pages looked at. */
  pgrefill = 0;
  /** Inactive pages looked at and reclaimed by kswapd, by allocations that found no frame, and on request (MADV_PAGEOUT). */
  pgscanKswapd = 0;
  pgscanDirect = 0;
  pgscanProactive = 0;
  pgstealKswapd = 0;
  pgstealDirect = 0;
  pgstealProactive = 0;
  /** The same by kind of page. */
  pgscanAnon = 0;
  pgscanFile = 0;
  pgstealAnon = 0;
  pgstealFile = 0;
  /** Times kswapd ran, and times an allocation had to reclaim for itself. */
  pageoutrun = 0;
  allocstall = 0;
  /** Pages read again that were reclaimed before, and those of them that came back as active. */
  workingsetRefaultAnon = 0;
  workingsetRefaultFile = 0;
  workingsetActivateAnon = 0;
  workingsetActivateFile = 0;
  /** Pages found locked and set aside, and those looked at again after an unlock. */
  unevictablePgsCulled = 0;
  unevictablePgsRescued = 0;
  /** Pages moved to other frames, and pages that could not be. */
  pgmigrateSuccess = 0;
  pgmigrateFail = 0;
  /** Frames that compaction looked at for pages to move and for free ones, and times it ran. */
  compactMigrateScanned = 0;
  compactFreeScanned = 0;
  compactStall = 0;
  /** Pages of files written back. */
  pgpgout = 0;
}
