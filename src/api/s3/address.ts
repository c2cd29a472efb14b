import { decodePath } from "../common/request-target.ts";
import { ApiError } from "../common/api-error.ts";

/** What a request's path (and host) point at. */
export interface Address {
  /** "" when the request names none (ListBuckets). */
  readonly bucket: string;
  /** "" when the request is about the bucket. */
  readonly key: string;
}

const DOT = 0x2e;
const SLASH = 0x2f;

/**
 * Bucket and key from the raw path. Path style: slashes in front of the bucket are skipped (clients join "http://host/" and
 * "/bucket", as Garage accepts it); every further slash belongs to the key.
 * @throws ApiError InvalidURI
 */
export function addressOf(rawPath: string, vhostBucket: string | undefined): Address {
  if (rawPath.charCodeAt(0) !== SLASH) {
    if (rawPath === "*") return { bucket: "", key: "" };
    throw new ApiError("InvalidURI", "The request target must begin with a slash.");
  }
  if (vhostBucket !== undefined) return { bucket: vhostBucket, key: decodePath(rawPath.slice(1)) };
  let start = 1;
  while (rawPath.charCodeAt(start) === SLASH) start++;
  const slash = rawPath.indexOf("/", start);
  if (slash < 0) return { bucket: decodePath(rawPath.slice(start)), key: "" };
  return { bucket: decodePath(rawPath.slice(start, slash)), key: decodePath(rawPath.slice(slash + 1)) };
}

/**
 * The bucket of a virtual-host request: what stands before `.rootDomain` in Host; undefined when the host is the root domain
 * itself or another (then path style). Bucket names may hold dots.
 * @param rootDomain  normalized by `rootDomainOf`.
 */
export function vhostBucketOf(host: string | undefined, rootDomain: string | undefined): string | undefined {
  if (rootDomain === undefined || host === undefined) return undefined;
  // "b.example.com." is the same name, spelled from the root of the DNS.
  const name = withoutDot(withoutPort(host)).toLowerCase();
  if (name.length <= rootDomain.length || !name.endsWith(rootDomain)) return undefined;
  return name.slice(0, name.length - rootDomain.length);
}

/** ".s3.example.com" from the setting "s3.example.com" or ".s3.example.com"; undefined when not set. */
export function rootDomainOf(setting: string | undefined): string | undefined {
  if (setting === undefined || setting === "" || setting === ".") return undefined;
  return withoutDot(setting.startsWith(".") ? setting : "." + setting).toLowerCase();
}

/** All of them: a host that no name has, as "b.example.com..", must not turn into a path-style request for another bucket. */
function withoutDot(host: string): string {
  let end = host.length;
  while (end > 0 && host.charCodeAt(end - 1) === DOT) end--;
  return host.slice(0, end);
}

function withoutPort(host: string): string {
  if (host.startsWith("[")) return host;
  const colon = host.indexOf(":");
  return colon < 0 ? host : host.slice(0, colon);
}
