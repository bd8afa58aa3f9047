/** `cowshed run --trace-mm`: a line for each event of the memory manager, as --strace has one for each call. */

import type { MachineEvents, Place, TableEvent } from '../machine/events.ts';

function at({ address }: Place): string {
  return `0x${address.toString(16)}`;
}

function table(event: TableEvent): string {
  return `${event.level}, ${at(event)}`;
}

/** Calls `emit` with a line for each event. Processes but the first are named, as by --strace. */
export function traceMm(events: MachineEvents, emit: (line: string) => void): void {
  let first = 0;
  const say = (pid: number, text: string): void => {
    if (first === 0) first = pid;
    emit(`${pid === first || pid === 0 ? '' : `[pid ${pid}] `}mm: ${text}`);
  };
  events.on('fork', (e) => say(e.pid, `fork() = ${e.child}`));
  events.on('tableShared', (e) => say(e.pid, `share_table(${table(e)})`));
  events.on('tableCopied', (e) => say(e.pid, `copy_table(pte, ${at(e)}) = ${e.reason}`));
  events.on('tableBroken', (e) => say(e.pid, `break_table(${table(e)}) = ${e.how}`));
  events.on('tableDropped', (e) => say(e.pid, `drop_table(${table(e)})`));
  events.on('fault', (e) => say(e.pid, `fault(${e.access}, ${at(e)}) = ${e.result}`));
  events.on('reclaim', (e) => {
    say(e.pid, `reclaim(${at(e)}) = ${e.how}, users ${e.users}, entries ${e.entries}`);
  });
  events.on('softDirtyCleared', (e) => say(e.pid, 'clear_soft_dirty()'));
}
