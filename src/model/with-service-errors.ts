/**
 * The same service, whose failures come in the words of the services: what its methods' promises reject with goes through
 * `translate` (`serviceFailure` or `commandFailure` of service-failure.ts). All methods, so that none that is added later can be
 * forgotten. What is thrown synchronously, and values, pass as they are; fields are those of the service at that moment.
 */
export function withServiceErrors<T extends object>(service: T, translate: (cause: unknown) => unknown): T {
  const fail = (cause: unknown): never => {
    throw translate(cause);
  };
  const methods = service as Record<string, unknown>;
  const told = Object.create(service) as Record<string, unknown>;
  for (const name of methodsOf(service)) {
    // Called on the service itself: a class's private fields are not on what inherits from it.
    told[name] = (...args: unknown[]): unknown => {
      const result = (methods[name] as (...args: unknown[]) => unknown).apply(service, args);
      return result instanceof Promise ? result.catch(fail) : result;
    };
  }
  return told as T;
}

function methodsOf(service: object): ReadonlySet<string> {
  const names = new Set<string>();
  for (let at: object = service; at !== Object.prototype && at !== null; at = Object.getPrototypeOf(at) as object)
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(at)))
      if (typeof value === "function" && name !== "constructor") names.add(name);
  return names;
}
