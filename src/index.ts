/** cowshed: a user-space Linux kernel and RISC-V machine whose fork() shares page tables. */

export type { InstrumentOptions } from './cpu/instrument.ts';
export { CowshedError } from './machine/errors.ts';
export type {
  FaultEvent,
  ForkEvent,
  MachineEvent,
  MachineEventMap,
  MachineEvents,
  MachineListener,
  Place,
  ReclaimEvent,
  SoftDirtyClearedEvent,
  TableBrokenEvent,
  TableCopiedEvent,
  TableEvent,
  TableLevel,
} from './machine/events.ts';
export type { BlockTrace, CompareLog, CompareRecord } from './machine/instruments.ts';
export {
  Machine,
  type HostMount,
  type MachineOptions,
  type MachineStats,
  type ProfileOptions,
  type RootSpec,
  type SpawnOptions,
  type SwapFile,
  type SwapSpec,
} from './machine/machine.ts';
export type { ExitStatus, Process, ProcessMemory, StdioOptions } from './machine/process.ts';
export type {
  ProfileCount,
  ProfiledFunction,
  ProfileReport,
  ProfileStack,
} from './machine/profile/report.ts';
