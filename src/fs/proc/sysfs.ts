/**
 * /sys as far as programs look there: the processors, and the memory node. There are no huge
 * pages yet, and so nothing about them, as without CONFIG_TRANSPARENT_HUGEPAGE and CONFIG_HUGETLBFS.
 *
 * @linux Documentation/ABI/testing/sysfs-devices-system-cpu
 */

import type { Kernel } from '../../kernel/kernel.ts';
import { S_IFDIR } from '../../uapi/stat.ts';
import { SYSFS_MAGIC } from '../../uapi/statfs.ts';
import { dcacheReaddir } from '../dcache.ts';
import { Dentry, Inode, SuperBlock, type Vfs } from '../fs_types.ts';
import { dirLlseek } from '../llseek.ts';
import { PSEUDO_SUPER_OPS } from '../super.ts';
import { procCreateText, procCreateValues, procMkdir } from './generic.ts';
import { showNodeMeminfo } from './meminfo.ts';

/** Bits of a CPU mask that the lists are made for. */
const KERNEL_MAX_CPU = 0;

/** One hart, always there. */
function cpuDevices(system: Dentry): void {
  const cpu = procMkdir(system, 'cpu');
  procCreateValues(cpu, {
    online: 0,
    possible: 0,
    present: 0,
    offline: '',
    kernel_max: KERNEL_MAX_CPU,
  });
  const cpu0 = procMkdir(cpu, 'cpu0');
  procCreateValues(procMkdir(cpu0, 'topology'), {
    physical_package_id: 0,
    core_id: 0,
    core_cpus: 1,
    core_cpus_list: 0,
    core_siblings: 1,
    core_siblings_list: 0,
    package_cpus: 1,
    package_cpus_list: 0,
    thread_siblings: 1,
    thread_siblings_list: 0,
  });
}

/** All memory is one node. */
function nodeDevices(kernel: Kernel, system: Dentry): void {
  const node = procMkdir(system, 'node');
  procCreateValues(node, {
    online: 0,
    possible: 0,
    has_cpu: 0,
    has_memory: 0,
    has_normal_memory: 0,
  });
  const node0 = procMkdir(node, 'node0');
  procCreateValues(node0, { cpulist: 0, cpumap: 1, distance: 10 });
  procCreateText(node0, 'meminfo', () => showNodeMeminfo(kernel));
}

/** Makes /sys of a machine; the caller mounts it. */
export function createSysfs(vfs: Vfs, kernel: Kernel): Dentry {
  const sb = new SuperBlock(vfs, 'sysfs', SYSFS_MAGIC, PSEUDO_SUPER_OPS);
  const fOps = { iterate: dcacheReaddir, llseek: dirLlseek };
  const inode = new Inode(sb, S_IFDIR | 0o555, {}, fOps);
  const root = new Dentry(sb, null, '', inode);
  root.loaded = true;
  for (const name of ['block', 'bus', 'class', 'dev', 'firmware', 'module', 'power']) {
    procMkdir(root, name);
  }
  procMkdir(procMkdir(root, 'fs'), 'cgroup');
  const system = procMkdir(procMkdir(root, 'devices'), 'system');
  cpuDevices(system);
  nodeDevices(kernel, system);
  const kernelDir = procMkdir(root, 'kernel');
  procMkdir(kernelDir, 'mm');
  procMkdir(kernelDir, 'debug');
  return root;
}
