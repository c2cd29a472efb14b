import { S3Client, type S3ClientConfig } from "@aws-sdk/client-s3";
import type { S3TestServer } from "./server.ts";
import type { SigningIdentity } from "./sign.ts";

/**
 * The official SDK with its newest defaults, but for the endpoint, path style and retries (a failure must be seen, not repeated).
 */
export function sdkClient(
  server: S3TestServer,
  { as = server.identity, ...config }: S3ClientConfig & { as?: SigningIdentity } = {},
): S3Client {
  return new S3Client({
    endpoint: server.endpoint,
    region: server.region,
    forcePathStyle: true,
    maxAttempts: 1,
    credentials: { accessKeyId: as.keyId, secretAccessKey: as.secret },
    ...config,
  });
}

/** Name and status of the SDK error that a call must end with. */
export async function sdkError(call: Promise<unknown>): Promise<{ name: string; status: number }> {
  try {
    await call;
  } catch (error) {
    const { name, $metadata } = error as { name: string; $metadata?: { httpStatusCode?: number } };
    return { name, status: $metadata?.httpStatusCode ?? 0 };
  }
  throw new Error("the call succeeded, and should not have");
}
