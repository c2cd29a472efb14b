/** A failure that the user can put right: printed as "Error: …", exit code 1, no stack. */
export class CommandError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "CommandError";
  }
}
