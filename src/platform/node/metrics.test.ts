import { test } from "node:test";
import assert from "node:assert/strict";
import { createMetrics } from "./metrics.ts";

test("counters, durations and gauges are rendered as Prometheus text", async () => {
  const metrics = createMetrics();
  const requests = metrics.counter({ name: "api_s3_request_counter", help: "requests", labels: ["api_endpoint"] });
  requests.add(1, "GetObject");
  requests.add(2, "GetObject");
  requests.add(1, "PutObject");
  const errors = metrics.counter({ name: "api_s3_error_counter", help: "errors", labels: ["api_endpoint", "status_code"] });
  errors.add(1, "GetObject", "404");
  const durations = metrics.durations({ name: "api_s3_request_duration", help: "seconds", labels: ["api_endpoint"] });
  durations.observe(0.0005, "GetObject");
  durations.observe(0.02, "GetObject");
  durations.observe(1000, "GetObject");
  metrics.gauge({ name: "cluster_healthy", help: "1 when all is well", labels: [] }, () => [{ labels: [], value: 1 }]);

  const { body, contentType } = await metrics.render();
  assert.match(contentType, /^text\/plain/);
  const lines = new Set(body.split("\n"));
  for (const line of [
    "# TYPE api_s3_request_counter counter",
    'api_s3_request_counter{api_endpoint="GetObject"} 3',
    'api_s3_request_counter{api_endpoint="PutObject"} 1',
    'api_s3_error_counter{api_endpoint="GetObject",status_code="404"} 1',
    "# TYPE api_s3_request_duration histogram",
    'api_s3_request_duration_bucket{api_endpoint="GetObject",le="0.001"} 1',
    'api_s3_request_duration_bucket{api_endpoint="GetObject",le="0.025"} 2',
    'api_s3_request_duration_bucket{api_endpoint="GetObject",le="100"} 2',
    'api_s3_request_duration_bucket{api_endpoint="GetObject",le="+Inf"} 3',
    'api_s3_request_duration_count{api_endpoint="GetObject"} 3',
    "cluster_healthy 1",
  ])
    assert.ok(lines.has(line), `missing: ${line}\n${body}`);
});

test("the same name gives the same counter", async () => {
  const metrics = createMetrics();
  metrics.counter({ name: "a", help: "h", labels: [] }).add(1);
  metrics.counter({ name: "a", help: "h", labels: [] }).add(1);
  assert.match((await metrics.render()).body, /^a 2$/m);
});
