/** Answers of the admin operations, as far as the command line shows them. Shapes: Admin API v2. */
export interface Permissions {
  readonly read: boolean;
  readonly write: boolean;
  readonly owner: boolean;
}

export interface KeyInfo {
  readonly accessKeyId: string;
  readonly name: string;
  readonly created: string | null;
  readonly expiration: string | null;
  readonly expired: boolean;
  readonly secretAccessKey?: string | null;
  readonly permissions: { readonly createBucket: boolean };
  readonly buckets: readonly {
    readonly id: string;
    readonly globalAliases: readonly string[];
    readonly localAliases: readonly string[];
    readonly permissions: Permissions;
  }[];
}

export interface BucketInfo {
  readonly id: string;
  readonly created: string;
  readonly globalAliases: readonly string[];
  readonly websiteAccess: boolean;
  readonly websiteConfig: { readonly indexDocument: string; readonly errorDocument: string | null } | null;
  readonly keys: readonly {
    readonly accessKeyId: string;
    readonly name: string;
    readonly permissions: Permissions;
    readonly bucketLocalAliases: readonly string[];
  }[];
  readonly objects: number;
  readonly bytes: number;
  readonly unfinishedMultipartUploads: number;
  readonly unfinishedMultipartUploadParts: number;
  readonly unfinishedMultipartUploadBytes: number;
  readonly quotas: { readonly maxSize: number | null; readonly maxObjects: number | null };
  readonly ignoredCannedAcl?: string;
}

export interface Role {
  readonly id: string;
  readonly zone: string;
  readonly tags: readonly string[];
  readonly capacity: number | null;
}

export interface LayoutInfo {
  readonly version: number;
  readonly roles: readonly (Role & { readonly storedPartitions: number | null; readonly usableCapacity: number | null })[];
  readonly parameters: { readonly zoneRedundancy: "maximum" | { readonly atLeast: number } };
  readonly partitionSize: number;
  readonly stagedRoleChanges: readonly (Role | { readonly id: string; readonly remove: true })[];
  readonly stagedParameters: LayoutInfo["parameters"] | null;
}

export interface ClusterStatus {
  readonly layoutVersion: number;
  readonly nodes: readonly {
    readonly id: string;
    readonly hangarVersion: string | null;
    readonly addr: string | null;
    readonly hostname: string | null;
    readonly isUp: boolean;
    readonly problems: readonly string[];
    readonly role: { readonly zone: string; readonly tags: readonly string[]; readonly capacity: number | null } | null;
    readonly dataPartition: { readonly available: number; readonly total: number } | null;
  }[];
}

export interface PerNode<T> {
  readonly success: Readonly<Record<string, T>>;
  readonly error: Readonly<Record<string, string>>;
}
