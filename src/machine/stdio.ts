/** Standard streams: node's streams on the host's side, files on the guest's. */

import { Readable, Writable } from 'node:stream';
import { HostStream, openHostStream } from '../fs/console.ts';
import { FdTable, type File, type FsContext } from '../fs/fs_types.ts';
import { vfsOpen } from '../fs/open.ts';
import { createTty, openTty, ttyHangup, type Tty } from '../fs/tty.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { killProcessGroup } from '../kernel/signal.ts';
import { AT_FDCWD, O_RDONLY, O_WRONLY } from '../uapi/fcntl.ts';
import { errnoError } from './errors.ts';
import { addOutput, hostTakesMore, type OutputGate, removeOutput } from './output_gate.ts';
import type { GuestTree } from './root_fs.ts';
import type { ProcessStreams, StdioKind, StdioOptions } from './process.ts';

/** Bytes in flight in one direction before the sender waits. Linux's pipe size. */
const PIPE_BYTES = 65536;

/** The streams of one process: the host's ends, and the guest's open files 0, 1 and 2. */
export interface Stdio extends ProcessStreams {
  readonly ends: readonly [File, File, File];
  /** Ends the host's streams when the machine goes. */
  close(): void;
}

function openNull(ctx: FsContext, flags: number): File {
  const file = vfsOpen(ctx, AT_FDCWD, '/dev/null', { flags, mode: 0, resolve: 0 });
  if (typeof file === 'number') throw errnoError(file, 'open "/dev/null"');
  return file;
}

/** What the host writes goes to the guest. */
function inputOf(stream: HostStream): Writable {
  let resume: (() => void) | null = null;
  const release = (): void => {
    const done = resume;
    resume = null;
    done?.();
  };
  const input = new Writable({
    highWaterMark: PIPE_BYTES,
    write(chunk: Uint8Array, _encoding, done) {
      // The guest keeps the bytes; the caller may use its buffer again.
      stream.push(Uint8Array.from(chunk));
      if (stream.buffered < PIPE_BYTES || stream.readers === 0) done();
      else resume = done;
    },
    final(done) {
      stream.end();
      done();
    },
    destroy(error, done) {
      stream.end();
      release();
      done(error);
    },
  });
  stream.onRead = () => {
    if (stream.buffered < PIPE_BYTES) release();
  };
  // Nobody will read: what is still written goes nowhere, as it would with a closed pipe.
  stream.onReadersGone = () => void input.destroy();
  return input;
}

/** What the guest writes comes to the host. */
function outputOf(stream: HostStream, gate: OutputGate | null): Readable {
  const gated = gate === null ? null : addOutput(gate, stream);
  const output = new Readable({
    highWaterMark: PIPE_BYTES,
    read() {
      if (gate === null || gated === null) stream.drained();
      else hostTakesMore(gate, gated);
    },
    destroy(error, done) {
      if (gate !== null && gated !== null) removeOutput(gate, gated);
      stream.close();
      done(error);
    },
  });
  stream.onWrite = (data) => {
    const more = output.push(data);
    if (gated === null) return more;
    gated.full = !more;
    gated.sent += data.length;
    return gated.sent < PIPE_BYTES;
  };
  stream.onWritersGone = () => {
    if (gate !== null && gated !== null) removeOutput(gate, gated);
    output.push(null);
  };
  return output;
}

interface End<T> {
  readonly host: T;
  readonly guest: File;
}

function openInput({ vfs, context }: GuestTree, kind: StdioKind): End<Writable> {
  if (kind === 'null') {
    const host = new Writable({ write: (_chunk, _encoding, done) => done() });
    return { host: host.end(), guest: openNull(context, O_RDONLY) };
  }
  const stream = new HostStream();
  const host = inputOf(stream);
  const guest = openHostStream(vfs, stream, O_RDONLY);
  if (kind === 'inherit') process.stdin.pipe(host);
  return { host, guest };
}

function openOutput(
  { vfs, context }: GuestTree,
  kind: StdioKind,
  inherited: NodeJS.WritableStream,
  gate: OutputGate | null,
): End<Readable> {
  if (kind === 'null') return { host: Readable.from([]), guest: openNull(context, O_WRONLY) };
  const stream = new HostStream();
  const host = outputOf(stream, gate);
  const guest = openHostStream(vfs, stream, O_WRONLY);
  if (kind === 'inherit') host.pipe(inherited, { end: false });
  return { host, guest };
}

function assemble(
  input: End<Writable>,
  output: End<Readable>,
  errors: End<Readable>,
  tty: Tty | null,
): Stdio {
  return {
    stdin: input.host,
    stdout: output.host,
    stderr: errors.host,
    ends: [input.guest, output.guest, errors.guest],
    tty,
    close() {
      input.host.destroy();
      if (!output.host.destroyed) output.host.push(null);
      if (!errors.host.destroyed) errors.host.push(null);
    },
  };
}

/** Opens the streams of a new process. Each guest file has one reference. */
export function openStdio(tree: GuestTree, options: StdioOptions, gate: OutputGate | null): Stdio {
  return assemble(
    openInput(tree, options.stdin ?? 'null'),
    openOutput(tree, options.stdout ?? 'pipe', process.stdout, gate),
    openOutput(tree, options.stderr ?? 'pipe', process.stderr, gate),
    null,
  );
}

/**
 * Opens a terminal as all three streams. What the user types is written to stdin, everything
 * the programs print is read from stdout.
 */
export function openTerminal(
  tree: GuestTree,
  kernel: Kernel,
  options: StdioOptions,
  gate: OutputGate | null,
): Stdio {
  const stream = new HostStream();
  const tty = createTty(tree.vfs, stream, (pgrp, sig) => killProcessGroup(kernel, pgrp, sig));
  const host = inputOf(stream);
  const output = outputOf(stream, gate);
  const guest = openTty(tty, tree.dev);
  guest.getFile();
  guest.getFile();
  if (options.stdin === 'inherit') process.stdin.pipe(host);
  if (options.stdout === 'inherit') output.pipe(process.stdout, { end: false });
  const errors = { host: Readable.from([]), guest };
  return assemble({ host, guest }, { host: output, guest }, errors, tty);
}

/** The session leader is gone: its terminal hangs up, and there is no more output. */
export function endTerminal(stdio: Stdio): void {
  if (stdio.tty === null) return;
  ttyHangup(stdio.tty);
  if (!stdio.stdout.destroyed) stdio.stdout.push(null);
}

/** A descriptor table with the streams as 0, 1 and 2; it takes over their references. */
export function stdioFiles(stdio: Stdio): FdTable {
  const files = new FdTable();
  for (const [fd, file] of stdio.ends.entries()) files.install(fd, file, false);
  return files;
}

/** Puts `stdio` where a cloned process has the streams of its original, under whatever descriptors. */
export function replaceStdio(files: FdTable, original: Stdio, stdio: Stdio): void {
  for (let fd = 0; fd < files.size; fd++) {
    const file = files.getRaw(fd);
    // A terminal is all three: then the descriptor says which one is meant.
    const from = fd < original.ends.length ? fd : 0;
    const which = file === undefined ? -1 : original.ends.indexOf(file, from);
    if (which < 0) continue;
    const end = stdio.ends[which]!;
    end.getFile();
    files.install(fd, end, files.getCloexec(fd));
  }
  for (const end of stdio.ends) end.putFile();
}
