/** What can go wrong between a mirror and a root file system, as one line for the user. */

/** Why a pull failed; scripts branch on it. */
export type DebianErrorCode =
  | 'NO_MIRROR'
  | 'NO_KEYRING'
  | 'BAD_SIGNATURE'
  | 'EXPIRED'
  | 'SKEW'
  | 'NOT_FOUND'
  | 'UNSATISFIED'
  | 'BAD_CHECKSUM'
  | 'BAD_PACKAGE'
  | 'BAD_FORMAT'
  | 'NETWORK'
  | 'LOCK'
  | 'ROOT'
  | 'ABORTED';

/** Message form: `Cannot <action>: <cause>`, one line, no full stop. */
export class DebianError extends Error {
  readonly code: DebianErrorCode;

  constructor(code: DebianErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'DebianError';
    this.code = code;
  }
}

/** Anything that was thrown, as an Error. */
export function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

/** The text of anything that was thrown, on one line. */
export function errorText(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/\s*\n\s*/g, '; ');
}

/** @throws DebianError ABORTED when the user has asked to stop. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new DebianError('ABORTED', 'Stopped: interrupted');
}
