// What a run did, as a hash (equal runs, equal hashes) and, when wanted, as lines of a story.

/** What a line is about besides its group, so that a story can pick the lines that decide. */
export interface Topic {
  /** First and last of the log entries that it concerns. */
  readonly entries?: readonly [from: number, to: number];
  /** A client's call. */
  readonly call?: string;
  /** Somebody begins to lead. */
  readonly leads?: boolean;
  /** Too fine for a short story, unless it is about what decides. */
  readonly fine?: boolean;
}
export interface Line {
  readonly at: number;
  readonly about: number;
  readonly text: string;
  readonly topic: Topic;
}

const NO_TOPIC: Topic = Object.freeze({});

export class Trace {
  readonly lines: Line[] = [];
  /** Are lines kept? Else nobody needs to make any. */
  readonly recording: boolean;
  #low = 0x811c9dc5 | 0;
  #high = 0x1234567 | 0;

  constructor(recording: boolean) {
    this.recording = recording;
  }
  /** Takes numbers into the hash. Call with what tells two runs apart: times, who, what. */
  mix(a: number, b: number): void {
    // Fractions matter: virtual times are no integers.
    const whole = Math.floor(a);
    this.#low = Math.imul(this.#low ^ whole ^ (b | 0), 0x01000193) + (this.#high >>> 9);
    this.#high = Math.imul(this.#high ^ ((a - whole) * 0x7fffffff) ^ (b >> 3), 0x85ebca6b) + (this.#low >>> 5);
  }
  /** `text` is only called when a story is recorded; `about`: the group, or −1 for what concerns all. */
  note(at: number, about: number, text: () => string, topic: Topic = NO_TOPIC): void {
    if (this.recording) this.lines.push({ at, about, text: text(), topic });
  }
  get hash(): string {
    return ((this.#high >>> 0).toString(16).padStart(8, "0") + (this.#low >>> 0).toString(16).padStart(8, "0")).slice(0, 16);
  }
}
