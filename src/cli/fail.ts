/** A failure that the user can put right: printed as "Error: …", exit code 1, no stack. */
export class CommandError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "CommandError";
  }
}

/** What the system says of a failure, without the call and the path that it goes on with: "ENOENT: no such file or directory". */
export function systemReason(error: unknown): string {
  const { message, syscall } = error as NodeJS.ErrnoException;
  const cut = syscall === undefined ? -1 : message.lastIndexOf(`, ${syscall}`);
  return cut < 0 ? message : message.slice(0, cut);
}
