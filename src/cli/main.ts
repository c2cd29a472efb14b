#!/usr/bin/env node
// The `hangar` command: options before the verb, then the verb. Everything but `server` and `quickstart` talks to the running
// daemon.
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { AdminClient } from "./admin-client.ts";
import { addBucketCommands } from "./bucket-commands.ts";
import { CommandError } from "./fail.ts";
import { type GlobalOptions, type Loaded, loadConfig, refuseOtherHost } from "./files.ts";
import { addKeyCommands } from "./key-commands.ts";
import { addLayoutCommands } from "./layout-commands.ts";
import { addMaintenanceCommands } from "./maintenance-commands.ts";
import { addNodeCommands } from "./node-commands.ts";
import { addServerCommands } from "./server-commands.ts";
import { addTokenCommands } from "./token-commands.ts";

const version = (JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string }).version;
const program = new Command("hangar")
  .description("S3-compatible object store for people who run their own machines in several places")
  .option("-c, --config <file>", "configuration file [env: HANGAR_CONFIG_FILE, GARAGE_CONFIG_FILE; default: /etc/hangar.toml]")
  .option(
    "-h, --rpc-host <id@host:port>",
    "node to talk to; this release: only the one whose metadata_dir is here [env: HANGAR_RPC_HOST]",
  )
  .option("-s, --rpc-secret <hex>", "network secret [env: HANGAR_RPC_SECRET]")
  .option("--rpc-secret-file <file>", "file with the network secret [env: HANGAR_RPC_SECRET_FILE]")
  .option("--admin-token <token>", "admin token, for server [env: HANGAR_ADMIN_TOKEN]")
  .option("--admin-token-file <file>", "file with the admin token [env: HANGAR_ADMIN_TOKEN_FILE]")
  .option("--metrics-token <token>", "metrics token, for server [env: HANGAR_METRICS_TOKEN]")
  .option("--metrics-token-file <file>", "file with the metrics token [env: HANGAR_METRICS_TOKEN_FILE]")
  .option(
    "--allow-world-readable-secrets <true|false>",
    "accept secret files that others may read [env: HANGAR_ALLOW_WORLD_READABLE_SECRETS]",
  )
  .addHelpText("after", "\nEnvironment variables work with GARAGE_ instead of HANGAR_ as well.")
  .helpOption("--help", "show help")
  .version(`hangar ${version}`, "--version", "show the version")
  .enablePositionalOptions()
  // Descriptions stay beside long names also on 80 columns.
  .configureHelp({ minWidthToWrap: 24 })
  .showHelpAfterError("(add --help for usage)")
  .configureOutput({ outputError: (text, write) => write(`${text.replace(/^error:/, "Error:")}${placeHint(text)}`) })
  .exitOverride();

let known: Loaded | undefined;
const loaded = (): Loaded => {
  known ??= loadConfig(program.opts<GlobalOptions>(), { checkPermissions: false });
  return known;
};
const client = (): AdminClient => {
  refuseOtherHost(program.opts<GlobalOptions>(), loaded());
  return new AdminClient(loaded());
};

addServerCommands(program, version);
addNodeCommands(program, loaded, client);
addLayoutCommands(program, client);
addBucketCommands(program, client);
addKeyCommands(program, client);
addTokenCommands(program, client);
addMaintenanceCommands(program, client);
addHelpCommand(program);
inheritHelp(program);

// `hangar key list | head -1`: who has read enough is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(0);
});

try {
  await program.parseAsync(process.argv);
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode;
  else if (error instanceof CommandError) {
    process.stderr.write(`Error: ${error.message}\n`);
    process.exitCode = 1;
  } else throw error;
}

/** Where an option belongs that a verb does not know and the program does: before the verb. */
function placeHint(text: string): string {
  const flag = /^error: unknown option '(-[^'=]+)/.exec(text)?.[1];
  const option = program.options.find(({ short, long }) => flag !== undefined && (short === flag || long === flag));
  return option ? `${flag} goes before the verb: hangar ${option.flags.replace(/^.*(?=--)/, "")} VERB …\n` : "";
}

/** `hangar help bucket create`: commander's own goes one level deep. */
function addHelpCommand(top: Command): void {
  top
    .command("help")
    .argument("[verbs...]")
    .description("show the help of a verb")
    .action((verbs: string[]) => {
      let command = top;
      for (const verb of verbs) {
        const next = command.commands.find((one) => one.name() === verb || one.aliases().includes(verb));
        if (!next) throw new CommandError(`there is no verb ${verbs.join(" ")} (\`hangar --help\` lists them)`);
        command = next;
      }
      command.outputHelp();
    });
}

/** `-h` is an option of ours, so help is `--help` in every verb; exits go through one place. */
function inheritHelp(command: Command): void {
  for (const sub of command.commands) {
    sub.helpOption("--help", "show help").exitOverride().showHelpAfterError("(add --help for usage)");
    inheritHelp(sub);
  }
}
