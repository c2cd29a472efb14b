/**
 * Our own bug: a condition that must hold by construction did not. Outside bytes (clients, peers, disk) are validated, never
 * asserted.
 */
export class AssertionError extends Error {
  constructor(message: string) {
    super(`assertion failed: ${message}`);
    this.name = "AssertionError";
  }
}

/** @param why  why the condition must hold; evaluated always, so keep it a constant on hot paths. */
export function assert(condition: unknown, why: string): asserts condition {
  if (!condition) throw new AssertionError(why);
}

/** For the default branch of a switch over a closed union: a new member does not compile. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${JSON.stringify(value)}`);
}
