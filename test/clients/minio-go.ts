import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Client } from "./client.ts";
import { built, goModule, runGo } from "./sources.ts";
import { startTlsFront } from "./tls-front.ts";

const MODULE = "github.com/minio/minio-go/v7";
const VERSION = "v7.4.1";
/**
 * The module's functional cases for the calls that docs/s3.md lists as there. Left out is what needs, somewhere on its way,
 * versions, object lock, tags, CORS, policies, encryption, signature V2, a second region, a second storage class, or a listing
 * with user metadata (which AWS has not either); and testPutObjectWithAutomaticChecksums, which waits for a checksum that this
 * version announces, but does not send.
 */
const CASES = [
  "testPutObjectWithMetadata",
  "testPutObjectWithContentLanguage",
  "testPutObjectReadAt",
  "testPutObjectStreaming",
  "testPutObjectUploadSeekedObject",
  "testPutObjectContext",
  "testPutObjectWithChecksums",
  "testPutObjectWithTrailingChecksums",
  "testPutMultipartObjectWithChecksums",
  "testTrailingChecksums",
  "testFPutObject",
  "testFPutObjectMultipart",
  "testFPutObjectContext",
  "testGetObjectSeekEnd",
  "testGetObjectClosedTwice",
  "testGetObjectReadSeekFunctional",
  "testGetObjectReadAtFunctional",
  "testGetObjectReadAtWhenEOFWasReached",
  "testGetObjectWithRange",
  "testGetObjectRanges",
  "testGetObjectModified",
  "testGetObjectContext",
  "testFGetObjectContext",
  "testStatObjectResponseHeaders",
  "testCopyObject",
  "testComposeObjectErrorCases",
  "testUserMetadataCopying",
  "testStorageClassMetadataPutObject",
  "testStorageClassInvalidMetadataPutObject",
  "testStorageClassMetadataCopyObject",
  "testRemoveMultipleObjects",
  "testRemoveMultipleObjectsIter",
  "testPresignedPostPolicy",
  "testPresignedPostPolicyWrongFile",
  "testPresignedPostPolicyEmptyFileName",
] as const;
/** Once more with TLS, where this client sends other bodies: unsigned ones with trailers. */
const CASES_OVER_TLS = CASES.filter((name) => /Checksums|Multipart|testPutObjectStreaming/.test(name));

interface Report {
  readonly status: "PASS" | "FAIL" | "NA";
  readonly function: string;
  readonly message?: string;
  readonly error?: string;
}

export const minioGo: Client = {
  name: "minio-go",
  source: built(`minio-go-${VERSION}`, CASES.join(), build),
  slow: true,
  steps: (kit) => {
    const { daemon, must, installed } = kit;
    const env = {
      SERVER_ENDPOINT: `${daemon.host}:${daemon.s3Port}`,
      ACCESS_KEY: daemon.keyId,
      SECRET_KEY: daemon.secret,
      ENABLE_HTTPS: "0",
      ENABLE_KMS: "0",
      SERVER_REGION: "garage",
      MINT_MODE: "full",
      RUN_ON_FAIL: "1",
    };
    const run = async (name: string, more: Readonly<Record<string, string>> = {}): Promise<void> => {
      const { stdout } = await must([join(installed, "cases"), name], { env: { ...env, ...more }, timeoutMs: 240_000 });
      const reports = stdout
        .split("\n")
        .filter((line) => line.startsWith("{"))
        .map((line) => JSON.parse(line) as Report);
      const failed = reports.filter(({ status }) => status === "FAIL");
      if (failed.length > 0) throw new Error(failed.map((one) => JSON.stringify(one).slice(0, 1500)).join("\n"));
      const refused = reports.filter(({ status }) => status === "NA");
      if (refused.length > 0) throw new Error(`taken as not implemented: ${JSON.stringify(refused[0]).slice(0, 1500)}`);
    };
    let front: Awaited<ReturnType<typeof startTlsFront>> | undefined;
    return [
      ...CASES.map((name) => ({ name, run: () => run(name) })),
      ...CASES_OVER_TLS.map((name) => ({
        name: `${name}, TLS`,
        async run() {
          front ??= await startTlsFront(kit);
          const { port, certificate } = front;
          await run(name, { SERVER_ENDPOINT: `${daemon.host}:${port}`, ENABLE_HTTPS: "1", SSL_CERT_FILE: certificate });
        },
      })),
    ];
  },
};

/** The module's own file of cases, with a main function that runs the one that is named instead of all. */
async function build(folder: string): Promise<string> {
  const source = await goModule(MODULE, VERSION);
  const text = readFileSync(join(source, "functional_tests.go"), "utf8");
  mkdirSync(folder, { recursive: true });
  const entries = CASES.map((name) => `\t"${name}": ${name},\n`).join("");
  // The algorithms that docs/s3.md lists as not there yet would end a case early.
  const known = text.replace(/^\t\t\{cs: minio\.Checksum(MD5|SHA512|XXHash\w+)\},\n/gm, "");
  if (known === text) throw new Error("the file of cases has changed its form");
  writeFileSync(join(folder, "functional_tests.go"), known.replace("func main() {", "func everything() {"));
  writeFileSync(
    join(folder, "main.go"),
    `package main\n\nimport (\n\t"log/slog"\n\t"os"\n)\n\nfunc main() {\n\tslog.SetDefault(slog.New(slog.NewJSONHandler(os.Stdout, nil)))\n\tmap[string]func(){\n${entries}\t}[os.Args[1]]()\n}\n`,
  );
  const files = ["functional_tests.go", "main.go"].map((name) => join(folder, name));
  // Files that are named are built whatever their build tags say; with the tag the module itself would not build.
  await runGo(["build", "-o", join(folder, "cases"), ...files], { cwd: source });
  return ".";
}
