import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { GroupError } from "../group/groups.ts";
import { ServiceError } from "./object-service.ts";
import { commandFailure, serviceFailure } from "./service-failure.ts";
import { withServiceErrors } from "./with-service-errors.ts";

class Store {
  readonly #name = "store";
  settings = "first";
  name(): string {
    return this.#name;
  }
  async grow(by: number): Promise<string> {
    return `${this.#name} ${await Promise.resolve(by)}`;
  }
  fail(cause: unknown): Promise<never> {
    return Promise.reject(cause);
  }
}

describe("a service with the services' errors", () => {
  test("methods of a class run on it, private fields and all; fields are as they are now", async () => {
    const store = new Store();
    const told = withServiceErrors(store, serviceFailure);
    assert.equal(told.name(), "store");
    assert.equal(await told.grow(2), "store 2");
    store.settings = "second";
    assert.equal(told.settings, "second");
  });

  test("what a promise rejects with is translated, also of a plain record, and of a method replaced later", async () => {
    const unknown = new GroupError("group.unknown-outcome", "nobody knows");
    const code = (work: Promise<unknown>): Promise<unknown> =>
      work.then(
        () => "fulfilled",
        (error: unknown) => (error instanceof ServiceError ? error.code : error),
      );
    const store = new Store();
    assert.equal(await code(withServiceErrors(store, commandFailure).fail(unknown)), "service.unknown-outcome");
    assert.equal(await code(withServiceErrors(store, serviceFailure).fail(unknown)), "service.unavailable");
    const bug = new TypeError("a bug");
    assert.equal(await code(withServiceErrors(store, serviceFailure).fail(bug)), bug);
    const record = { read: () => Promise.reject(new GroupError("group.no-space", "full", { notDone: true })) };
    const told = withServiceErrors(record, serviceFailure);
    assert.equal(await code(told.read()), "service.no-space");
    record.read = () => Promise.reject(new GroupError("group.overloaded", "too many", { notDone: true }));
    assert.equal(await code(told.read()), "service.slow-down");
  });
});
