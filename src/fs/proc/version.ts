/** Files of /proc about the machine as such: version, cpuinfo, filesystems and kin. @linux fs/proc/version.c, arch/riscv/kernel/cpu.c */

import { PAGE_SIZE } from '../../arch/riscv/memlayout.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import { devMajor, devMinor } from '../../uapi/stat.ts';
import { swapDeviceName } from '../block_dev.ts';
import type { Vfs } from '../fs_types.ts';
import { manglePath, padNumber } from './generic.ts';

const KB_PER_PAGE = PAGE_SIZE / 1024;
/** What the processor implements (src/cpu). */
const ISA = 'rv64imafdc_zicsr_zifencei';

export function showVersion(kernel: Kernel): string {
  const { sysname, release, version } = kernel.uts;
  return `${sysname} version ${release} (cowshed@cowshed) (cowshed) ${version}\n`;
}

/** One hart. @linux arch/riscv/kernel/cpu.c:c_show */
export function showCpuinfo(): string {
  return [
    'processor\t: 0\n',
    'hart\t\t: 0\n',
    `isa\t\t: ${ISA}\n`,
    'mmu\t\t: sv48\n',
    'mvendorid\t: 0x0\n',
    'marchid\t\t: 0x0\n',
    'mimpid\t\t: 0x0\n',
    `hart isa\t: ${ISA}\n`,
    '\n',
  ].join('');
}

/** Types of the file systems that are mounted somewhere; none needs a device. @linux fs/filesystems.c:filesystems_proc_show */
export function showFilesystems(vfs: Vfs): string {
  const types = new Set(vfs.superBlocks.filter((sb) => !sb.pseudo).map((sb) => sb.fsType));
  return [...types].map((type) => `nodev\t${type}\n`).join('');
}

/** There is no boot loader to pass any. */
export function showKernelCmdline(): string {
  return '\n';
}

/** @linux block/genhd.c:show_partition */
export function showPartitions(vfs: Vfs): string {
  const rows = [...vfs.blkdevs].map(([dev, { device }]) => {
    const minor = devMinor(dev);
    const blocks = padNumber(device.bytes / 1024, 10);
    return `${padNumber(devMajor(dev), 4)}  ${padNumber(minor, 7)} ${blocks} ${swapDeviceName(minor)}\n`;
  });
  return `major minor  #blocks  name\n\n${rows.join('')}`;
}

/** The areas that are on, the next to be filled first. @linux mm/swapfile.c:swap_show */
export function showSwaps(kernel: Kernel): string {
  const rows = kernel.pgdat.swap.active.map((area) => {
    const size = area.pages * KB_PER_PAGE;
    const used = area.inUse * KB_PER_PAGE;
    const name = manglePath(area.name, ' \t\n\\');
    return `${name.padEnd(39)} partition\t${kbColumn(size)}\t${kbColumn(used)}\t${area.prio}\n`;
  });
  return `Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n${rows.join('')}`;
}

/** Wide enough numbers need one tab less. */
function kbColumn(kb: number): string {
  return kb < 10_000_000 ? `${kb}\t` : String(kb);
}

/** Majors of the character devices. @linux block/genhd.c, fs/char_dev.c:chrdev_show */
export function showDevices(vfs: Vfs): string {
  const majors = new Set([...vfs.chrdevs.keys()].map(devMajor));
  const names: ReadonlyMap<number, string> = new Map([
    [1, 'mem'],
    [4, 'tty'],
    [5, '/dev/tty'],
    [10, 'misc'],
    [136, 'pts'],
  ]);
  const lines = [...majors].sort((a, b) => a - b);
  const rows = lines.map((major) => `${String(major).padStart(3)} ${names.get(major) ?? 'chr'}\n`);
  const blocks = new Set([...vfs.blkdevs.keys()].map(devMajor));
  const blockRows = [...blocks].map((major) => `${padNumber(major, 3)} swap\n`);
  return `Character devices:\n${rows.join('')}\nBlock devices:\n${blockRows.join('')}`;
}
