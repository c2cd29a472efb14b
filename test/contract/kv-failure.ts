import type { Kv } from "../../src/platform/kv.ts";

/** What a store did before and after a commit of it failed. */
export interface FailureReport {
  /** Codes of: the commit that failed, what waited behind it, what came later, a read. */
  readonly codes: readonly (string | undefined)[];
  /** Commits that were acknowledged before it, numbered from 0; the failed one has the next number. */
  readonly acknowledged: number;
  readonly failure: string | undefined;
}

const key = (text: string): Buffer => Buffer.from(text);

/** Commits `row 0`, `row 1` … each with `waiting 0` … behind it in the next batch, until one fails. */
export async function driveIntoFailure(kv: Kv, beforeEach: (at: number) => void = () => undefined): Promise<FailureReport> {
  const write = (name: string): Promise<string | undefined> =>
    kv
      .transact((tx) => tx.put("rows", key(name), key("value")))
      .then(
        () => undefined,
        (error: { code?: string }) => error.code ?? String(error),
      );
  for (let at = 0; at < 100; at++) {
    beforeEach(at);
    let started = (): void => undefined;
    const running = new Promise<void>((resolve) => {
      started = resolve;
    });
    const first = kv
      .transact((tx) => {
        tx.put("rows", key(`row ${at}`), key("value"));
        started();
      })
      .then(
        () => undefined,
        (error: { code?: string }) => error.code ?? String(error),
      );
    await running;
    const behind = write(`waiting ${at}`);
    const failed = await first;
    if (failed === undefined && (await behind) === undefined) continue;
    const later = await write("later");
    const again = await write("later still");
    const read = await kv
      .read((tx) => tx.get("rows", key("row 0")))
      .then(
        () => "answered",
        (error: { code?: string }) => error.code,
      );
    return { codes: [failed ?? (await behind), await behind, later, again, read], acknowledged: at, failure: kv.failure?.code };
  }
  throw new Error("no commit failed");
}
