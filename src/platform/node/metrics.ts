import type { Counter, Durations, GaugeSample, MetricDescription, Metrics } from "../metrics.ts";

/** Upper bounds of the duration buckets, seconds (Garage's range). */
const BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100];
/** Label combinations one metric keeps; more would be a bug of the caller, and are dropped rather than let memory grow. */
const MAX_SERIES = 10_000;
const SEPARATOR = "\u0000";

/** What prom-client's registry asks of a metric: it renders whatever `get` returns. */
interface Snapshot {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "histogram" | "gauge";
  readonly aggregator: "sum";
  readonly values: readonly {
    readonly metricName?: string;
    readonly labels: Record<string, string | number>;
    readonly value: number;
  }[];
}

/**
 * Metrics kept in plain maps; prom-client (17 ms and 4 MB to load) is imported at the first scrape and only renders.
 */
export function createMetrics(): Metrics {
  const sources = new Map<string, { snapshot(): Snapshot; readonly part: unknown }>();
  const keep = <T>(name: string, make: () => { snapshot(): Snapshot; readonly part: T }): T => {
    let source = sources.get(name);
    if (source === undefined) sources.set(name, (source = make()));
    return source.part as T;
  };
  return {
    counter: (description) => keep<Counter>(description.name, () => counter(description)),
    durations: (description) => keep<Durations>(description.name, () => durations(description)),
    gauge: (description, read) => void keep(description.name, () => gauge(description, read)),
    async render() {
      const { Registry } = await import("prom-client");
      const registry = new Registry();
      for (const [name, source] of sources) {
        // The registry needs a name and `get`; that it is no class of prom-client's does not matter to it.
        registry.registerMetric({ name, get: () => Promise.resolve(source.snapshot()), reset() {} } as never);
      }
      return { contentType: registry.contentType, body: await registry.metrics() };
    },
  };
}

function counter(description: MetricDescription): { snapshot(): Snapshot; readonly part: Counter } {
  const series = new Map<string, number>();
  return {
    part: {
      add(amount, ...values) {
        const key = values.length === 1 ? (values[0] ?? "") : values.join(SEPARATOR);
        const before = series.get(key);
        if (before === undefined && series.size >= MAX_SERIES) return;
        series.set(key, (before ?? 0) + amount);
      },
    },
    snapshot: () => ({
      ...head(description, "counter"),
      values: [...series].map(([key, value]) => ({ labels: labelled(description, key.split(SEPARATOR)), value })),
    }),
  };
}

function durations(description: MetricDescription): { snapshot(): Snapshot; readonly part: Durations } {
  const series = new Map<string, { readonly counts: Float64Array; sum: number }>();
  return {
    part: {
      observe(seconds, ...values) {
        const key = values.length === 1 ? (values[0] ?? "") : values.join(SEPARATOR);
        let one = series.get(key);
        if (one === undefined) {
          if (series.size >= MAX_SERIES) return;
          series.set(key, (one = { counts: new Float64Array(BUCKETS_SECONDS.length + 1), sum: 0 }));
        }
        let slot = 0;
        while (slot < BUCKETS_SECONDS.length && seconds > (BUCKETS_SECONDS[slot] ?? 0)) slot++;
        one.counts[slot] = (one.counts[slot] ?? 0) + 1;
        one.sum += seconds;
      },
    },
    snapshot: () => ({
      ...head(description, "histogram"),
      values: [...series].flatMap(([key, { counts, sum }]) => {
        const labels = labelled(description, key.split(SEPARATOR));
        let total = 0;
        const rows = Array.from(counts, (count, slot) => {
          total += count;
          return {
            metricName: `${description.name}_bucket`,
            labels: { ...labels, le: BUCKETS_SECONDS[slot] ?? "+Inf" },
            value: total,
          };
        });
        return [
          ...rows,
          { metricName: `${description.name}_sum`, labels, value: sum },
          { metricName: `${description.name}_count`, labels, value: total },
        ];
      }),
    }),
  };
}

function gauge(
  description: MetricDescription,
  read: () => readonly GaugeSample[],
): { snapshot(): Snapshot; readonly part: undefined } {
  return {
    part: undefined,
    snapshot: () => ({
      ...head(description, "gauge"),
      values: read().map(({ labels, value }) => ({ labels: labelled(description, labels), value })),
    }),
  };
}

function head(description: MetricDescription, type: Snapshot["type"]): Omit<Snapshot, "values"> {
  return { name: description.name, help: description.help, type, aggregator: "sum" };
}

function labelled(description: MetricDescription, values: readonly string[]): Record<string, string> {
  const labels: Record<string, string> = {};
  description.labels.forEach((label, at) => {
    labels[label] = values[at] ?? "";
  });
  return labels;
}
