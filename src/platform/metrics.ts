/**
 * Figures for operators, as Prometheus reads them. Everything that counts gets a `Metrics`; the text is made when somebody
 * scrapes. Adding to a counter costs a map look-up and an addition: fit for every request.
 */
export interface Metrics {
  /**
   * Counts events; the same name twice gives the same counter. `labels`: names, in the order in which `add` takes their values.
   */
  counter(description: MetricDescription): Counter;
  /** Counts durations in the buckets 1 ms … 100 s. */
  durations(description: MetricDescription): Durations;
  /** A value read when scraped. `read` returns one sample per combination of label values; it is synchronous and cheap. */
  gauge(description: MetricDescription, read: () => readonly GaugeSample[]): void;
  /** The text exposition of everything, and its content type. */
  render(): Promise<{ readonly contentType: string; readonly body: string }>;
}

export interface MetricDescription {
  /** Snake case; counters and durations carry the names that Garage's users have on their dashboards. */
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
}

export interface Counter {
  /** `values`: one per label, from small closed sets (operations, status codes; never keys or buckets). */
  add(amount: number, ...values: readonly string[]): void;
}

export interface Durations {
  observe(seconds: number, ...values: readonly string[]): void;
}

export interface GaugeSample {
  readonly labels: readonly string[];
  readonly value: number;
}
