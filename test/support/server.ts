import type { Log, LogFields } from "../../src/platform/log.ts";
import type { SigningIdentity } from "./sign.ts";

/** A listening S3 server under test, whatever stands behind it. */
export interface S3TestServer {
  readonly host: string;
  readonly port: number;
  /** "http://127.0.0.1:port" */
  readonly endpoint: string;
  readonly region: string;
  /** Virtual-host style works under this domain. */
  readonly rootDomain: string;
  /** May create buckets. */
  readonly identity: SigningIdentity;
  /** May not, and has no right anywhere at first. */
  readonly other: SigningIdentity;
  /** Messages that were logged as errors. */
  readonly errors: readonly string[];
  /** Gives a key rights on a bucket of `identity`; the key then sees it under the same name. `rights`: of "r", "w", "o". */
  grant(to: SigningIdentity, bucket: string, rights: string): Promise<void>;
  /** A key that expired a second ago. */
  readonly expired: SigningIdentity;
  stop(): Promise<void>;
}

export const REGION = "garage";
export const ROOT_DOMAIN = "s3.test";

export const IDENTITY: SigningIdentity = { keyId: "GK0123456789abcdef01234567", secret: "5".repeat(64), region: REGION };
export const OTHER: SigningIdentity = { keyId: "GKfedcba9876543210fedcba98", secret: "6".repeat(64), region: REGION };
export const EXPIRED: SigningIdentity = { keyId: "GKaaaaaaaaaaaaaaaaaaaaaaaa", secret: "7".repeat(64), region: REGION };

/** Keeps what is logged as an error; a test looks at it at its end. */
export function errorLog(errors: string[]): Log {
  const note = (fields: LogFields, message: string): void => {
    const cause = fields["err"];
    errors.push(cause instanceof Error ? `${message}: ${cause.stack}` : message);
  };
  const log: Log = { debug() {}, info() {}, warn() {}, error: note, debugEnabled: false, child: () => log };
  return log;
}
