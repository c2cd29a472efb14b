import type { HttpRequest } from "../../platform/http.ts";
import { uriEncode } from "../../util/uri-encoding.ts";

/** Where the bucket is, as lists and HeadBucket tell it; clients that don't know the region ask that way. */
export function regionHeader({ region }: { readonly region: string }): string[] {
  return ["x-amz-bucket-region", region];
}

interface LocatedCall {
  readonly request: HttpRequest;
  readonly bucketName: string;
  readonly key: string;
  readonly vhost: boolean;
}

/**
 * URL of an object by the host that the client used, as CompleteMultipartUpload and PostObject answer it (AWS encodes the slashes
 * of the key too). A proxy that speaks TLS says so in X-Forwarded-Proto.
 */
export function objectLocation(call: LocatedCall): string {
  const host = call.request.header("host") ?? "";
  const scheme = call.request.header("x-forwarded-proto")?.toLowerCase() === "https" ? "https" : "http";
  const key = uriEncode(call.key);
  return call.vhost ? `${scheme}://${host}/${key}` : `${scheme}://${host}/${uriEncode(call.bucketName)}/${key}`;
}
