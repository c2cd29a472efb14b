import type { Command } from "commander";
import type { GlobalOptions } from "./files.ts";
import type { ServerFlags } from "./server.ts";

/** `hangar server` and `hangar quickstart`: the only verbs that load the daemon. */
export function addServerCommands(program: Command, version: string): void {
  program
    .command("server")
    .description("run the daemon")
    .option("--single-node", "a store of one node: gives this node its role and applies the first layout")
    .option(
      "--default-access-key",
      "import the key of HANGAR_DEFAULT_ACCESS_KEY and HANGAR_DEFAULT_SECRET_KEY (or GARAGE_…); needs --single-node",
    )
    .option("--default-bucket", "also create the bucket of HANGAR_DEFAULT_BUCKET (or GARAGE_…) for that key")
    .action(async (flags: ServerFlags) => {
      const { runServer } = await import("./server.ts");
      await runServer(program.opts<GlobalOptions>(), flags, version);
    });

  program
    .command("quickstart")
    .description("run a single-node store with defaults, a key and a bucket, in a folder of its own")
    .option("--data <folder>", "where everything lies", "hangar-data")
    .option("--bind <address>", 'address of the S3 port, at the first start (default: "127.0.0.1:3900")')
    .action(async (flags: { data: string; bind?: string }) => {
      const { runQuickstart } = await import("./quickstart.ts");
      await runQuickstart(flags, version);
    });

  program
    .command("admin-api-schema", { hidden: true })
    .description("print the OpenAPI document of the Admin API")
    .action(async () => {
      const { adminApiSchema } = await import("./server.ts");
      process.stdout.write(`${await adminApiSchema(version)}\n`);
    });
}
