import type { HttpRequest } from "../../platform/http.ts";
import { uriEncode } from "../../util/uri-encoding.ts";

interface LocatedCall {
  readonly request: HttpRequest;
  readonly bucketName: string;
  readonly key: string;
  readonly vhost: boolean;
}

/**
 * URL of an object by the host that the client used, as CompleteMultipartUpload and PostObject answer it (AWS encodes the slashes of the key too).
 * A proxy that speaks TLS says so in X-Forwarded-Proto.
 */
export function objectLocation(call: LocatedCall): string {
  const host = call.request.header("host") ?? "";
  const scheme = call.request.header("x-forwarded-proto")?.toLowerCase() === "https" ? "https" : "http";
  const key = uriEncode(call.key);
  return call.vhost ? `${scheme}://${host}/${key}` : `${scheme}://${host}/${uriEncode(call.bucketName)}/${key}`;
}
