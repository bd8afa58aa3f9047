/** How a pull tells its caller what happens; the command line draws it. */

export interface PullReport {
  /** A fact the user must know, one line. */
  say(line: string): void;
  /** A step of known size begins. @param total bytes */
  begin(label: string, total: number): void;
  /** Bytes done since the last call; negative when work is thrown away. */
  advance(bytes: number): void;
  end(): void;
}

/** For callers that want only the result. */
export const SILENT_REPORT: PullReport = {
  say: () => undefined,
  begin: () => undefined,
  advance: () => undefined,
  end: () => undefined,
};
