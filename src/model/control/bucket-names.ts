/**
 * Says what is wrong with a bucket name, or undefined when it is fine.
 * Source: AWS's general purpose bucket naming rules, with punycode labels only when allowed (as Garage's allow_punycode).
 */
export function bucketNameFault(name: string, options: { readonly allowPunycode: boolean }): string | undefined {
  if (name.length < 3 || name.length > 63) return "a bucket name has 3 to 63 characters";
  if (!/^[a-z0-9.-]+$/.test(name)) return "a bucket name consists of lower-case letters, digits, dots and hyphens";
  if (!/^[a-z0-9].*[a-z0-9]$/.test(name)) return "a bucket name begins and ends with a letter or digit";
  if (name.includes("..")) return "a bucket name has no two dots in a row";
  if (/^\d+\.\d+\.\d+\.\d+$/.test(name)) return "a bucket name must not look like an IPv4 address";
  if (name.endsWith("-s3alias") || name.endsWith("--ol-s3")) return "this ending is reserved";
  if (!options.allowPunycode && name.split(".").some((label) => label.startsWith("xn--")))
    return "punycode labels (xn--) need allow_punycode = true";
  return undefined;
}

/** Index shards of a bucket: a power of two, 1 ..= 64. */
export function isShardCount(count: number): boolean {
  return Number.isInteger(count) && count >= 1 && count <= 64 && (count & (count - 1)) === 0;
}
