/** /proc/PID/mounts, mountinfo and mountstats: the mount tree as a task sees it. @linux fs/proc_namespace.c */

import type { Task } from '../../kernel/task.ts';
import { MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_RELATIME } from '../../uapi/mount.ts';
import { devMajor, devMinor } from '../../uapi/stat.ts';
import { Path, pathFrom, type Mount, type SuperBlock, type Vfs } from '../fs_types.ts';
import { manglePath } from './generic.ts';
import { taskHasExited } from './pid.ts';

const ESCAPED = ' \t\n\\#';

const MNT_OPTIONS: readonly (readonly [number, string])[] = [
  [MS_NOSUID, ',nosuid'],
  [MS_NODEV, ',nodev'],
  [MS_NOEXEC, ',noexec'],
  [MS_RELATIME, ',relatime'],
];

function superOptions(sb: SuperBlock): string {
  return sb.readOnly ? 'ro' : 'rw';
}

/** Options of the mount itself, without ro or rw. @linux show_mnt_opts */
function mountOptions(mnt: Mount): string {
  let text = '';
  for (const [flag, name] of MNT_OPTIONS) if ((mnt.flags & flag) !== 0) text += name;
  return text;
}

function mountReadOnly(mnt: Mount): boolean {
  return (mnt.flags & MS_RDONLY) !== 0;
}

/** One mount and where the task sees it. */
interface SeenMount {
  readonly mnt: Mount;
  readonly at: string;
}

/** Mounts at or below the task's root, in the order they were made. */
function seenMounts(task: Task): SeenMount[] {
  if (taskHasExited(task)) return [];
  const { root } = task.fs;
  const vfs: Vfs = root.mnt.sb.vfs;
  const seen: SeenMount[] = [];
  for (const mnt of vfs.mounts) {
    const inside = mnt === root.mnt ? root.dentry : mnt.root;
    const at = pathFrom(root, new Path(mnt, inside));
    if (at !== null) seen.push({ mnt, at: manglePath(at, ESCAPED) });
  }
  return seen;
}

/** device, place, type, options, and two zeroes. @linux show_vfsmnt */
export function showMounts(task: Task): string {
  let text = '';
  for (const { mnt, at } of seenMounts(task)) {
    const access = mnt.sb.readOnly || mountReadOnly(mnt) ? 'ro' : 'rw';
    const source = manglePath(mnt.source, ESCAPED);
    text += `${source} ${at} ${mnt.sb.fsType} ${access}${mountOptions(mnt)} 0 0\n`;
  }
  return text;
}

/** The root of a mount within its file system: '/' unless part of it was mounted. */
function rootInSuper(mnt: Mount): string {
  let text = '';
  for (let d = mnt.root; d.parent !== d; d = d.parent) text = `/${d.name}${text}`;
  return text === '' ? '/' : manglePath(text, ESCAPED);
}

/** @linux show_mountinfo */
export function showMountinfo(task: Task): string {
  let text = '';
  for (const { mnt, at } of seenMounts(task)) {
    const parent = mnt.at === null ? mnt.id : mnt.at.mnt.id;
    const dev = `${devMajor(mnt.sb.dev)}:${devMinor(mnt.sb.dev)}`;
    const options = (mountReadOnly(mnt) ? 'ro' : 'rw') + mountOptions(mnt);
    const source = manglePath(mnt.source, ESCAPED);
    text += `${mnt.id} ${parent} ${dev} ${rootInSuper(mnt)} ${at} ${options}`;
    text += ` - ${mnt.sb.fsType} ${source} ${superOptions(mnt.sb)}\n`;
  }
  return text;
}

/** @linux show_vfsstat */
export function showMountstats(task: Task): string {
  let text = '';
  for (const { mnt, at } of seenMounts(task)) {
    text += `device ${manglePath(mnt.source, ESCAPED)} mounted on ${at} with fstype ${mnt.sb.fsType} \n`;
  }
  return text;
}
