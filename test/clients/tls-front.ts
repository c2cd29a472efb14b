import { mkdirSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { createServer } from "node:tls";
import type { Kit } from "./client.ts";

/**
 * What operators put before the store: ends TLS on an address of its own and passes the bytes on. Its certificate is in
 * `folder`/tls.
 */
export async function startTlsFront({
  daemon,
  folder,
  must,
}: Kit): Promise<{ readonly port: number; readonly certificate: string }> {
  const tls = join(folder, "tls");
  mkdirSync(tls);
  const certificate = join(tls, "certificate");
  const key = join(tls, "key");
  await must([
    ...["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
    // pgBackRest looks for the address among the names only.
    ...["-subj", "/CN=store", "-addext", `subjectAltName=IP:${daemon.host},DNS:${daemon.host}`],
    ...["-keyout", key, "-out", certificate],
  ]);
  const server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, (client) => {
    const store = connect(daemon.s3Port, daemon.host);
    client.pipe(store).pipe(client);
    const close = (): void => {
      client.destroy();
      store.destroy();
    };
    client.on("error", close);
    store.on("error", close);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, daemon.host, resolve);
  });
  // Lives as long as the test; its process is not kept alive by it.
  server.unref();
  return { port: (server.address() as { port: number }).port, certificate };
}
