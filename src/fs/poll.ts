/** Readiness of open files. @linux fs/select.c */

import type { WaitQueue } from '../lib/wait_queue.ts';
import { DEFAULT_POLLMASK } from '../uapi/poll.ts';
import type { File, PollTable } from './fs_types.ts';

/** POLL* bits that hold now; `pt` is told which queues change them. @linux include/linux/poll.h:vfs_poll */
export function vfsPoll(file: File, pt: PollTable | null): number {
  const { poll } = file.fOps;
  return poll === undefined ? DEFAULT_POLLMASK : poll.call(file.fOps, file, pt);
}

/** Whoever can stand in wait queues: a task. */
interface Sleeper {
  waitOn(queue: WaitQueue): void;
}

/** Registers a task with every queue of the files it polls. */
export class TaskPollTable implements PollTable {
  private readonly sleeper: Sleeper;

  constructor(sleeper: Sleeper) {
    this.sleeper = sleeper;
  }

  add(queue: WaitQueue): void {
    this.sleeper.waitOn(queue);
  }
}
