import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pathLookup } from '../../../src/fs/namei.ts';
import { EXIT_ZOMBIE, ROOT_CRED } from '../../../src/kernel/task.ts';
import { mmput } from '../../../src/mm/fork.ts';
import { MMF_COW_PTE, MMF_COW_PTE_READY } from '../../../src/mm/mm_struct.ts';
import { checkPageTables } from '../../../src/mm/page_table_check.ts';
import { putUser8 } from '../../../src/mm/uaccess.ts';
import { EACCES, EINVAL, EIO, ENOENT, ESRCH } from '../../../src/uapi/errno.ts';
import { AT_FDCWD, O_CREAT, O_RDWR, O_TRUNC, O_WRONLY, SEEK_SET } from '../../../src/uapi/fcntl.ts';
import { MAP_SHARED, PROT_READ } from '../../../src/uapi/mman.ts';
import { BASE, map, PAGE, pageoutRange, peek, PMD, testSwapon, touch } from '../mm/harness.ts';
import {
  bootProc,
  cat,
  field,
  forkTask,
  list,
  mustOpen,
  newTask,
  open,
  read,
  readlink,
  write,
  USER,
} from './proc_harness.ts';

describe('/proc/self', () => {
  it('leads to the process that looks', () => {
    const machine = bootProc();
    const a = newTask(machine, { comm: 'a' });
    const b = newTask(machine, { comm: 'b' });
    machine.kernel.current = a;
    assert.equal(cat(a, '/proc/self/comm'), 'a\n');
    machine.kernel.current = b;
    assert.equal(cat(b, '/proc/self/comm'), 'b\n');
    assert.equal(cat(b, '/proc/thread-self/comm'), 'b\n');
    assert.equal(cat(b, `/proc/${a.pid}/comm`), 'a\n');
  });

  it('leads nowhere for the host', () => {
    const machine = bootProc();
    const task = newTask(machine);
    assert.equal(open(task, '/proc/self/comm'), -ENOENT);
  });
});

describe('/proc', () => {
  it('lists its files and each process once, whatever the buffer holds', () => {
    const machine = bootProc();
    const tasks = [newTask(machine), newTask(machine), newTask(machine)];
    const all = list(tasks[0]!, '/proc');
    for (const name of ['.', '..', 'meminfo', 'self', 'sys', ...tasks.map((t) => `${t.pid}`)]) {
      assert.ok(all.includes(name), name);
    }
    assert.equal(new Set(all).size, all.length);
    assert.deepEqual(list(tasks[0]!, '/proc', 1), all);
    assert.deepEqual(list(tasks[0]!, '/proc', 7), all);
  });

  it('has no entry for a number that is no process', () => {
    const machine = bootProc();
    const task = newTask(machine);
    for (const name of ['99', '0', `0${task.pid}`, '+2', '-1', 'nothing']) {
      assert.equal(open(task, `/proc/${name}`), -ENOENT, name);
    }
  });

  it('keeps inode numbers over look-ups', () => {
    const machine = bootProc();
    const task = newTask(machine);
    const first = mustOpen(task, `/proc/${task.pid}/status`);
    const second = mustOpen(task, `/proc/${task.pid}/status`);
    const other = mustOpen(task, `/proc/${task.pid}/stat`);
    assert.equal(first.inode.ino, second.inode.ino);
    assert.notEqual(first.inode.ino, other.inode.ino);
  });
});

describe('a text file of procfs', () => {
  it('shows one state to a reader of small pieces, and a new one from offset 0', () => {
    const machine = bootProc();
    const task = newTask(machine, { comm: 'before' });
    const file = mustOpen(task, `/proc/${task.pid}/comm`);
    assert.equal(read(file, 3), 'bef');
    task.comm = 'after';
    assert.equal(read(file, 100), 'ore\n');
    assert.equal(read(file, 100), '');
    assert.equal(read(file, 100, 0), 'after\n');
    assert.equal(read(file, 2, 2), 'te');
    assert.equal(file.fOps.llseek!(file, 0, SEEK_SET), 0);
    assert.equal(read(file, 100), 'after\n');
  });

  it('says ESRCH once its process is gone, also when the number is used again', () => {
    const machine = bootProc();
    const task = newTask(machine);
    const viewer = newTask(machine);
    const file = mustOpen(viewer, `/proc/${task.pid}/status`);
    machine.kernel.tasks.delete(task.pid);
    assert.equal(read(file), -ESRCH);
    machine.kernel.tasks.set(task.pid, viewer);
    assert.equal(read(file), -ESRCH);
  });

  it('can be opened for cutting off and cannot be changed', () => {
    const machine = bootProc();
    const task = newTask(machine);
    machine.kernel.current = task;
    const file = mustOpen(task, '/proc/self/comm', O_WRONLY | O_TRUNC);
    assert.equal(write(file, 'new'), 3);
    assert.equal(task.comm, 'new');
    assert.equal(write(mustOpen(task, '/proc/self/stat', O_WRONLY), 'x'), -EINVAL);
  });
});

describe('/proc/PID/maps', () => {
  it('prints mappings as Linux does', () => {
    const machine = bootProc();
    const task = newTask(machine);
    const mm = task.mm!;
    map(mm, BASE, 4 * PAGE);
    map(mm, BASE + 4 * PAGE, PAGE, { prot: PROT_READ });
    mm.startBrk = BASE + 4 * PAGE;
    mm.brk = BASE + 5 * PAGE;
    assert.equal(
      cat(task, `/proc/${task.pid}/maps`),
      '400000000000-400000004000 rw-p 00000000 00:00 0 \n' +
        '400000004000-400000005000 r--p 00000000 00:00 0                          [heap]\n',
    );
  });

  it('is for those who may look into the process', () => {
    const machine = bootProc();
    const root = newTask(machine);
    const user = newTask(machine, { cred: USER });
    const other = newTask(machine, { cred: { ...USER, uid: 1, euid: 1, suid: 1, fsuid: 1 } });
    assert.equal(open(user, `/proc/${root.pid}/maps`), -EACCES);
    assert.equal(open(other, `/proc/${user.pid}/maps`), -EACCES);
    assert.equal(open(other, `/proc/${user.pid}/fd`), -EACCES);
    assert.equal(open(other, `/proc/${user.pid}/environ`), -EACCES);
    assert.equal(cat(user, `/proc/${user.pid}/maps`), '');
    assert.equal(cat(root, `/proc/${user.pid}/maps`), '');
    machine.kernel.current = other;
    assert.equal(readlink(other, `/proc/${user.pid}/cwd`), -EACCES);
  });
});

describe('memory numbers of a fork', () => {
  it('count shared tables for their owner only, and say how much is shared', () => {
    const machine = bootProc();
    const parent = newTask(machine);
    map(parent.mm!, BASE, PMD);
    touch(parent.mm!, BASE, PMD);
    const before = cat(parent, `/proc/${parent.pid}/status`);
    assert.equal(field(before, 'VmRSS'), PMD / 1024);
    assert.equal(field(before, 'VmPTE'), 16);
    assert.equal(field(before, 'VmPTEShared'), 0);
    const child = forkTask(machine, parent);
    const status = cat(parent, `/proc/${child.pid}/status`);
    assert.equal(field(status, 'VmRSS'), PMD / 1024);
    assert.equal(field(status, 'RssAnon'), PMD / 1024);
    assert.equal(field(status, 'VmPTE'), 4);
    assert.equal(field(status, 'VmPTEShared'), 12);
    assert.equal(field(status, 'RssShared'), PMD / 1024);
    assert.match(status, /^PPid:\t\d+$/m);
    assert.equal(field(status, 'PPid'), parent.pid);
    checkPageTables(machine.kernel.pgdat);
  });

  it('divide Pss between the processes and call their pages shared', () => {
    const machine = bootProc();
    const parent = newTask(machine);
    map(parent.mm!, BASE, PMD);
    touch(parent.mm!, BASE, 64 * PAGE);
    const alone = cat(parent, `/proc/${parent.pid}/smaps`);
    assert.equal(field(alone, 'Pss'), 256);
    assert.equal(field(alone, 'Private_Dirty'), 256);
    const child = forkTask(machine, parent);
    const shared = cat(parent, `/proc/${child.pid}/smaps`);
    assert.equal(field(shared, 'Rss'), 256);
    assert.equal(field(shared, 'Pss'), 128);
    assert.equal(field(shared, 'Shared_Dirty'), 256);
    assert.equal(field(shared, 'Private_Dirty'), 0);
    touch(child.mm!, BASE, 16 * PAGE, 2);
    const broken = cat(parent, `/proc/${child.pid}/smaps_rollup`);
    assert.equal(field(broken, 'Private_Dirty'), 64);
    assert.equal(field(broken, 'Shared_Dirty'), 192);
    assert.equal(field(broken, 'Pss'), 64 + 96);
    checkPageTables(machine.kernel.pgdat);
  });

  it('add up to PageTables of meminfo', () => {
    const machine = bootProc();
    const parent = newTask(machine);
    map(parent.mm!, BASE, 4 * PMD);
    touch(parent.mm!, BASE, PMD);
    touch(parent.mm!, BASE + 3 * PMD, PMD);
    const child = forkTask(machine, parent);
    const sum = (): number =>
      [...machine.kernel.tasks.values()]
        .map((task) => field(cat(parent, `/proc/${task.pid}/status`), 'VmPTE'))
        .reduce((a, b) => a + b);
    const viewer = newTask(machine);
    assert.equal(sum(), field(cat(viewer, '/proc/meminfo'), 'PageTables'));
    mmput(parent.mm!);
    parent.mm = null;
    machine.kernel.tasks.delete(parent.pid);
    assert.equal(sum(), field(cat(viewer, '/proc/meminfo'), 'PageTables'));
    assert.equal(field(cat(viewer, `/proc/${child.pid}/status`), 'VmPTEShared'), 0);
  });
});

describe('/proc/PID/use_odf', () => {
  it('asks for COW page tables and says whether they are on', () => {
    const machine = bootProc();
    const task = newTask(machine);
    const mm = task.mm!;
    mm.flags &= ~MMF_COW_PTE;
    const path = `/proc/${task.pid}/use_odf`;
    assert.equal(cat(task, path), '0\n');
    assert.equal(write(mustOpen(task, path, O_RDWR), '1\n'), 2);
    assert.equal(cat(task, path), '0\n');
    assert.notEqual(mm.flags & MMF_COW_PTE_READY, 0);
    forkTask(machine, task);
    assert.equal(cat(task, path), '1\n');
    assert.equal(write(mustOpen(task, path, O_RDWR), '0'), 1);
    assert.equal(cat(task, path), '0\n');
    assert.equal(write(mustOpen(task, path, O_RDWR), '7'), 1);
    assert.equal(write(mustOpen(task, path, O_RDWR), 'on'), -EINVAL);
    assert.equal(cat(task, path), '0\n');
  });
});

describe('/proc/PID/fd', () => {
  it('lists descriptors and opens what they stand for', () => {
    const machine = bootProc();
    const task = newTask(machine);
    machine.kernel.current = task;
    const file = mustOpen(task, '/proc/version');
    assert.equal(task.files.alloc(file, 5, true, 1024), 5);
    assert.deepEqual(list(task, '/proc/self/fd'), ['.', '..', '5']);
    assert.equal(readlink(task, '/proc/self/fd/5'), '/proc/version');
    assert.match(cat(task, '/proc/self/fd/5'), /^Linux version 6/);
    assert.equal(open(task, '/proc/self/fd/6'), -ENOENT);
    assert.equal(
      cat(task, '/proc/self/fdinfo/5'),
      `pos:\t0\nflags:\t02000000\nmnt_id:\t${file.path.mnt.id}\nino:\t${file.inode.ino}\n`,
    );
  });
});

describe('/proc/PID/clear_refs', () => {
  it('forgets references until the next access, and the highest RSS', () => {
    const machine = bootProc();
    const task = newTask(machine);
    const mm = task.mm!;
    map(mm, BASE, PMD);
    touch(mm, BASE, 8 * PAGE);
    const smaps = (row: string): number => field(cat(task, `/proc/${task.pid}/smaps`), row);
    const clear = (what: string): number =>
      write(mustOpen(task, `/proc/${task.pid}/clear_refs`, O_WRONLY), what);
    assert.equal(smaps('Referenced'), 32);
    assert.equal(clear('3'), 1);
    assert.equal(smaps('Referenced'), 32);
    assert.equal(clear('1\n'), 2);
    assert.equal(smaps('Referenced'), 0);
    assert.equal(peek(mm, BASE + PAGE), 1);
    assert.equal(smaps('Referenced'), 4);
    mm.hiwaterRss = 1000;
    assert.equal(clear('5'), 1);
    assert.equal(field(cat(task, `/proc/${task.pid}/status`), 'VmHWM'), 32);
    assert.equal(clear('6'), -EINVAL);
    assert.equal(clear('0'), -EINVAL);
    checkPageTables(machine.kernel.pgdat);
  });
});

describe('a mapped file', () => {
  it('is named by maps, and map_files leads to it', () => {
    const machine = bootProc();
    const task = newTask(machine);
    machine.kernel.current = task;
    const file = mustOpen(task, '/a b\n', O_RDWR | O_CREAT);
    write(file, 'content');
    map(task.mm!, BASE, PAGE, { file, prot: PROT_READ });
    const { ino, sb } = file.inode;
    const prefix = `400000000000-400000001000 r--p 00000000 00:0${sb.dev} ${ino}`;
    assert.equal(cat(task, '/proc/self/maps'), `${prefix.padEnd(73)}/a b\\012\n`);
    const names = ['.', '..', '400000000000-400000001000'];
    assert.deepEqual(list(task, '/proc/self/map_files'), names);
    const link = `/proc/self/map_files/${names[2]}`;
    assert.equal(readlink(task, link), '/a b\n');
    assert.equal(cat(task, link), 'content');
    assert.equal(open(task, '/proc/self/map_files/400000000000-400000002000'), -ENOENT);
  });
});

describe('/proc/PID/ns', () => {
  it('shows the same namespaces for all', () => {
    const machine = bootProc();
    const a = newTask(machine);
    const b = newTask(machine);
    machine.kernel.current = a;
    for (const name of list(a, '/proc/self/ns').slice(2)) {
      const text = readlink(a, `/proc/self/ns/${name}`);
      assert.match(String(text), /^[a-z]+:\[40265318\d\d\]$/);
      assert.equal(readlink(a, `/proc/${b.pid}/ns/${name}`), text);
      const { ino } = mustOpen(a, `/proc/self/ns/${name}`).inode;
      assert.equal(text, `${name.replace('_for_children', '')}:[${ino}]`);
    }
  });
});

describe('links of /proc/PID', () => {
  it('name the place and lead to it', () => {
    const machine = bootProc();
    const task = newTask(machine);
    machine.kernel.current = task;
    const sys = pathLookup(task, AT_FDCWD, '/proc/sys', 0);
    if (typeof sys === 'number') assert.fail();
    task.fs.pwd = sys;
    assert.equal(readlink(task, '/proc/self/cwd'), '/proc/sys');
    assert.equal(readlink(task, '/proc/self/root'), '/');
    assert.equal(readlink(task, '/proc/self/exe'), -ENOENT);
    assert.equal(cat(task, '/proc/self/cwd/kernel/hostname'), 'test\n');
  });
});

describe('a zombie', () => {
  it('has a state and no memory, files or paths', () => {
    const machine = bootProc();
    const task = newTask(machine);
    const viewer = newTask(machine);
    mmput(task.mm!);
    task.mm = null;
    task.state = EXIT_ZOMBIE;
    task.signal.threads.length = 0;
    machine.kernel.current = viewer;
    const status = cat(viewer, `/proc/${task.pid}/status`);
    assert.match(status, /^State:\tZ \(zombie\)$/m);
    assert.doesNotMatch(status, /^Vm/m);
    assert.equal(cat(viewer, `/proc/${task.pid}/maps`), '');
    assert.equal(cat(viewer, `/proc/${task.pid}/cmdline`), '');
    assert.deepEqual(list(viewer, `/proc/${task.pid}/fd`), ['.', '..']);
    assert.deepEqual(list(viewer, `/proc/${task.pid}/task`), ['.', '..', `${task.pid}`]);
    assert.equal(readlink(viewer, `/proc/${task.pid}/cwd`), -ENOENT);
    assert.equal(cat(viewer, `/proc/${task.pid}/stat`).split(' ').length, 52);
  });
});

describe('/proc/PID/stat', () => {
  it('has 52 fields with the name in parentheses', () => {
    const machine = bootProc();
    const task = newTask(machine, { comm: 'a b) c' });
    const text = cat(task, `/proc/${task.pid}/stat`);
    const fields = text
      .slice(text.lastIndexOf(')') + 2)
      .trimEnd()
      .split(' ');
    assert.equal(fields.length, 50);
    assert.ok(text.startsWith(`${task.pid} (a b) c) R 1 `));
  });
});

describe('/proc/PID/cmdline', () => {
  it('shows the arguments, or the title a program has written over them', () => {
    const machine = bootProc();
    const task = newTask(machine);
    const mm = task.mm!;
    map(mm, BASE, PAGE);
    const put = (text: string): void => {
      for (let i = 0; i < text.length; i++) putUser8(mm, BASE + i, text.charCodeAt(i));
    };
    mm.argStart = BASE;
    mm.argEnd = BASE + 6;
    mm.envStart = BASE + 6;
    mm.envEnd = BASE + 12;
    put('ab\0cd\0E=1\0F\0');
    const cmdline = `/proc/${task.pid}/cmdline`;
    assert.equal(cat(task, cmdline), 'ab\0cd\0');
    assert.equal(cat(task, `/proc/${task.pid}/environ`), 'E=1\0F\0');
    put('redis: x\0');
    assert.equal(cat(task, cmdline), 'redis: x');
  });
});

describe('/proc/PID/mem and pagemap', () => {
  it('read and write the memory of the process', () => {
    const machine = bootProc();
    const task = newTask(machine);
    map(task.mm!, BASE, 2 * PAGE);
    touch(task.mm!, BASE, PAGE, 0x41424344);
    const mem = mustOpen(task, `/proc/${task.pid}/mem`, O_RDWR);
    assert.equal(read(mem, 4, BASE), 'DCBA');
    mem.pos = BASE;
    assert.equal(write(mem, 'xy'), 2);
    assert.equal(read(mem, 4, BASE), 'xyBA');
    assert.equal(read(mem, 2 * PAGE, BASE + PAGE), '\0'.repeat(PAGE));
    assert.equal(read(mem, 4, PAGE), -5);
  });

  it('write where the process may only read, but not through a shared mapping', () => {
    const machine = bootProc();
    const task = newTask(machine);
    map(task.mm!, BASE, PAGE, { prot: PROT_READ });
    map(task.mm!, BASE + PMD, PAGE, { prot: PROT_READ, flags: MAP_SHARED });
    const mem = mustOpen(task, `/proc/${task.pid}/mem`, O_RDWR);
    mem.pos = BASE + PAGE - 1;
    assert.equal(write(mem, 'xy'), 1);
    assert.equal(read(mem, 9, BASE + PAGE - 1), 'x');
    mem.pos = BASE + PMD;
    assert.equal(write(mem, 'x'), -EIO);
    checkPageTables(machine.kernel.pgdat);
  });

  it('stand for the address space that was opened', () => {
    const machine = bootProc();
    const task = newTask(machine);
    map(task.mm!, BASE, PAGE);
    const mem = mustOpen(task, `/proc/${task.pid}/mem`, O_RDWR);
    assert.equal(read(mem, 1, BASE), '\0');
    mmput(task.mm!);
    assert.equal(read(mem, 1, BASE), '');
    assert.equal(write(mem, 'x'), 0);
    mem.putFile();
  });

  it('tell which pages are there', () => {
    const machine = bootProc();
    const task = newTask(machine);
    map(task.mm!, BASE, 4 * PAGE);
    touch(task.mm!, BASE + PAGE, PAGE);
    const file = mustOpen(task, `/proc/${task.pid}/pagemap`);
    const bytes = Buffer.from(read(file, 4 * 8, (BASE / PAGE) * 8) as string, 'latin1');
    const high = [0, 1, 2, 3].map((i) => bytes.readUInt32LE(i * 8 + 4));
    assert.deepEqual(high, [0x80_0000, 0x8180_0000, 0x80_0000, 0x80_0000]);
    assert.notEqual(bytes.readUInt32LE(8), 0);
    assert.equal(read(file, 8, 4), -EINVAL);
  });
});

describe('mounts', () => {
  it('shows where file systems are', () => {
    const machine = bootProc();
    const task = newTask(machine);
    machine.kernel.current = task;
    const text = [
      'tmpfs / tmpfs rw 0 0',
      'proc /proc proc rw 0 0',
      'sysfs /sys sysfs rw 0 0',
      'debugfs /sys/kernel/debug debugfs rw 0 0',
    ];
    assert.equal(cat(task, '/proc/mounts'), `${text.join('\n')}\n`);
    const [root, proc] = cat(task, '/proc/self/mountinfo').split('\n');
    assert.match(root!, /^(\d+) \1 0:\d+ \/ \/ rw - tmpfs tmpfs rw$/);
    assert.match(proc!, /^\d+ \d+ 0:\d+ \/ \/proc rw - proc proc rw$/);
    const types = 'nodev\ttmpfs\nnodev\tproc\nnodev\tsysfs\nnodev\tdebugfs\n';
    assert.equal(cat(task, '/proc/filesystems'), types);
  });
});

describe('files about the machine', () => {
  it('can all be read', () => {
    const machine = bootProc();
    const task = newTask(machine);
    machine.kernel.current = task;
    const visit = (dir: string): void => {
      for (const name of list(task, dir)) {
        if (name === '.' || name === '..' || /^\d+$/.test(name)) continue;
        const path = `${dir}/${name}`;
        const found = pathLookup(task, AT_FDCWD, path, 0);
        if (typeof found === 'number') assert.fail(`${path} ${found}`);
        const { inode } = found.dentry;
        if (inode.fOps.iterate !== undefined) visit(path);
        else if (inode.fOps.read !== undefined && !/mem$|pagemap$|clear_refs$/.test(path))
          cat(task, path);
      }
    };
    visit('/proc');
    visit('/sys');
    visit(`/proc/${task.pid}`);
    visit(`/proc/${task.pid}/task/${task.pid}`);
  });

  it('agree about memory', () => {
    const machine = bootProc();
    const { pgdat } = machine.kernel;
    const task = newTask(machine);
    map(task.mm!, BASE, PMD);
    touch(task.mm!, BASE, 32 * PAGE);
    const meminfo = cat(task, '/proc/meminfo');
    assert.equal(field(meminfo, 'MemTotal'), pgdat.managedFrames * 4);
    assert.equal(field(meminfo, 'MemFree'), pgdat.freeFrames * 4);
    assert.equal(field(meminfo, 'AnonPages'), 128);
    assert.match(meminfo, /^MemTotal: {9}\s*\d+ kB$/m);
    assert.equal(field(cat(task, '/proc/vmstat').replaceAll(' ', ': '), 'nr_anon_pages'), 32);
  });

  it('let root rename the machine', () => {
    const machine = bootProc();
    const task = newTask(machine, { cred: ROOT_CRED });
    const user = newTask(machine, { cred: USER });
    const path = '/proc/sys/kernel/hostname';
    assert.equal(write(mustOpen(task, path, O_WRONLY), 'renamed\n'), 8);
    assert.equal(machine.kernel.uts.nodename, 'renamed');
    assert.equal(open(user, path, O_WRONLY), -EACCES);
  });
});

describe('/proc/sys/vm and /proc/swaps', () => {
  it('show and set what reclaim works with', () => {
    const machine = bootProc();
    const { pgdat } = machine.kernel;
    const task = newTask(machine);
    const set = (name: string, value: string): number => {
      const file = mustOpen(task, `/proc/sys/vm/${name}`, O_WRONLY);
      const n = write(file, value);
      file.putFile();
      return n;
    };
    assert.equal(cat(task, '/proc/sys/vm/swappiness'), '60\n');
    assert.equal(set('swappiness', '200\n'), 4);
    assert.equal(pgdat.swappiness, 200);
    for (const bad of ['201', '-1', 'x', '']) assert.ok(set('swappiness', bad) <= 0, bad);
    assert.equal(cat(task, '/proc/sys/vm/swappiness'), '200\n');
    const before = pgdat.wmarkHigh;
    assert.equal(set('min_free_kbytes', '4096'), 4);
    assert.ok(pgdat.wmarkLow >= 1024 && pgdat.wmarkHigh > before);
    assert.equal(cat(task, '/proc/sys/vm/min_free_kbytes'), '4096\n');
    assert.equal(set('drop_caches', '3'), 1);
    assert.equal(set('drop_caches', '5'), -EINVAL);
    const user = newTask(machine, { cred: USER });
    assert.equal(open(user, '/proc/sys/vm/swappiness', O_WRONLY), -EACCES);
  });

  it('list areas as swapon --show reads them', () => {
    const machine = bootProc();
    const task = newTask(machine);
    const { pgdat } = machine.kernel;
    testSwapon(pgdat, 100, '/dev/a b');
    map(task.mm!, BASE, 10 * PAGE);
    touch(task.mm!, BASE, 10 * PAGE);
    pageoutRange(task.mm!, BASE, 10 * PAGE);
    assert.equal(
      cat(task, '/proc/swaps').split('\n')[1],
      `${'/dev/a\\040b'.padEnd(40)}partition\t400\t\t40\t\t-2`,
    );
    assert.equal(field(cat(task, '/proc/meminfo'), 'SwapFree'), 360);
    assert.equal(field(cat(task, `/proc/${task.pid}/status`), 'VmSwap'), 40);
    peek(task.mm!, BASE);
    assert.equal(field(cat(task, '/proc/meminfo'), 'SwapCached'), 4);
    assert.match(cat(task, '/proc/vmstat'), /^pswpin 1\npswpout 10$/m);
    mmput(task.mm!);
    checkPageTables(pgdat);
  });
});
