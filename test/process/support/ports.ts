import { createServer } from "node:net";

/** An address of the loopback network for one daemon: daemons of several tests at once never meet. */
export function loopbackHost(): string {
  const number = process.pid;
  return `127.${1 + ((number >> 14) % 250)}.${(number >> 7) & 127}.${2 + (number & 127)}`;
}

/** A port that was free a moment ago and is given to no one else for a while (the system hands them out in turn). */
export async function freePort(host: string): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, host, resolve);
  });
  const address = server.address();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  if (typeof address !== "object" || address === null) throw new Error("no address");
  return address.port;
}
