/**
 * Which of the kernel's mm and ptrace self tests are run, and with which arguments: those of run_vmtests.sh,
 * smaller where it asks for more memory than a machine of default size has.
 */

/** One program with its arguments. */
export interface Program {
  /** Name of the source file without `.c`. */
  readonly binary: string;
  readonly args: readonly string[];
  /** `first`: what must pass. `later`: what needs a subsystem that is not there. */
  readonly group: 'first' | 'later';
}

function program(group: Program['group'], line: string): Program {
  const [binary = '', ...args] = line.split(' ');
  return { binary, args, group };
}

const FIRST = [
  'cow',
  'guard-regions',
  'mremap_test',
  'mremap_dontunmap',
  'map_fixed_noreplace',
  'map_populate',
  'mkdirty',
  'droppable',
  'merge',
  'madv_populate',
  'soft-dirty',
  'mlock2-tests',
  'mlock-random-test',
  'mrelease_test',
  'process_madv',
  'mdwe_test',
  'mseal_test',
  'memfd_secret',
];

const FIRST_PTRACE = ['get_syscall_info', 'set_syscall_info', 'peeksiginfo'];
/** They need syscall user dispatch, or an exec that waits for the tracer of its threads. */
const LATER_PTRACE = ['get_set_sud', 'vmaccess'];

const LATER = [
  'pagemap_ioctl',
  'uffd-unit-tests',
  'uffd-wp-mremap',
  'uffd-stress anon 20 16',
  'uffd-stress shmem 20 16',
  'uffd-stress shmem-private 20 16',
  'gup_longterm',
  'gup_test -ct -F 0x1 0 19 0x1000',
  'gup_test -u -n 1',
  'gup_test -a -n 1',
  'ksm_functional_tests',
  'ksm_tests -M -p 10',
  'ksm_tests -U',
  'ksm_tests -Z -p 10 -z 0',
  'ksm_tests -Z -p 10 -z 1',
  'ksm_tests -N -m 1',
  'ksm_tests -N -m 0',
  'ksm_tests -H -s 100',
  'ksm_tests -P -s 100',
  'khugepaged',
  'khugepaged all:shmem',
  'split_huge_page_test',
  'folio_split_race_test',
  'transhuge-stress -d 20',
  'prctl_thp_disable',
  'hmm-tests',
  'rmap',
  'migration',
  'compaction_test',
  'on-fault-limit',
  'pfnmap',
  'memory-failure',
  'va_high_addr_switch',
  'thuge-gen',
  'hugetlb-mmap',
  'hugetlb-shm',
  'hugetlb-mremap',
  'hugetlb-vmemmap',
  'hugetlb-madvise',
  'hugetlb_dio',
  'hugetlb_fault_after_madv',
  'hugetlb_madv_vs_map',
];

export const PROGRAMS: readonly Program[] = [
  ...[...FIRST, ...FIRST_PTRACE].map((line) => program('first', line)),
  ...[...LATER, ...LATER_PTRACE].map((line) => program('later', line)),
];

/** The directory of tools/testing/selftests that a program is built in. */
export function folderOf(binary: string): string {
  return [...FIRST_PTRACE, ...LATER_PTRACE].includes(binary) ? 'ptrace' : 'mm';
}

/** `uffd-stress anon 20 16`. */
export function programName({ binary, args }: Program): string {
  return [binary, ...args].join(' ');
}

/** Names of the files to build. */
export function binariesOf(programs: readonly Program[]): string[] {
  return [...new Set(programs.map(({ binary }) => binary))];
}

/**
 * Chooses programs by words of the command line: names, `first`, `later` or `all`. Without words:
 * the group `first`.
 *
 * @returns the programs, or the first word that names none.
 */
export function choosePrograms(words: readonly string[]): readonly Program[] | string {
  const wanted = words.length === 0 ? ['first'] : words;
  const known = (word: string): boolean =>
    word === 'all' || PROGRAMS.some(({ group, binary }) => word === group || word === binary);
  const unknown = wanted.find((word) => !known(word));
  if (unknown !== undefined) return unknown;
  return PROGRAMS.filter(
    ({ group, binary }) =>
      wanted.includes('all') || wanted.includes(group) || wanted.includes(binary),
  );
}
