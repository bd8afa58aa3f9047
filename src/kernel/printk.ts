/** The kernel's log: a bounded list of lines with their time. @linux kernel/printk/printk.c */

/** Lines kept; the oldest go first. */
const LOG_LINES = 1000;

export class KernelLog {
  readonly lines: string[] = [];
  /** Called with each line as it is logged. */
  onLine: ((line: string) => void) | null = null;

  /** Logs one line with the time since boot in front, as dmesg shows it. */
  printk(nowNs: number, message: string): void {
    const stamp = (nowNs / 1e9).toFixed(6).padStart(12);
    const line = `[${stamp}] ${message}`;
    if (this.lines.length === LOG_LINES) this.lines.shift();
    this.lines.push(line);
    this.onLine?.(line);
  }
}
