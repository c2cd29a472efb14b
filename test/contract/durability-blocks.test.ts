// The order of system calls by which a block comes to be durable, as strace sees it: a kill can't tell a missing fsync, and
// nothing but the flags of its file tells that each of its writes is durable.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { before, describe, it } from "node:test";
import { scratchDirectory } from "../process/support/scratch.ts";
import { straced, SystemTrace } from "../process/support/system-trace.ts";

const CHILD = join(import.meta.dirname, "block-child.ts");
const canTrace = spawnSync("strace", ["-o", "/dev/null", "--seccomp-bpf", "-f", "true"]).status === 0;

interface Stored {
  readonly kind: string;
  readonly hash: string;
  readonly outcome: string;
  readonly fromMs: number;
  readonly answeredMs: number;
}

describe("durability of blocks", { skip: canTrace ? false : "needs strace and the right to trace" }, () => {
  const directory = scratchDirectory();
  const file = join(directory, "trace");
  const trace = new SystemTrace(file);
  let stored: readonly Stored[] = [];

  before(() => {
    const watch = straced(file, 0.001).filter((word) => word !== "-D");
    const { stdout, stderr } = spawnSync(watch[0] as string, [...watch.slice(1), process.execPath, CHILD, directory], {
      encoding: "utf8",
      timeout: 60_000,
    });
    stored = stdout.split("\n").flatMap((line) => (line.startsWith("{") ? [JSON.parse(line) as Stored] : []));
    assert.equal(stored.length, 5, stderr);
  });

  for (const [kind, outcome] of [
    ["plain", "written"],
    ["compressed", "written"],
    ["whole", "written"],
    ["found", "existed"],
    ["found compressed", "existed"],
  ] as const)
    it(`${kind}: its bytes, then its name and those of new folders, then the commit`, () => {
      const one = stored.find((each) => each.kind === kind) as Stored;
      assert.equal(one.outcome, outcome);
      const { fromMs, answeredMs } = one;
      const times = { fromMs, answeredMs, delayMs: 0 };
      const where = { metadataDir: join(directory, "meta"), dataDir: join(directory, "data"), ...times };
      assert.deepEqual(trace.faults([one.hash], where), []);
    });

  it("nothing that was made would be lost", () => {
    assert.deepEqual(trace.lossesUnder([join(directory, "data")]), []);
  });
});
