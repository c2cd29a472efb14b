import type { Rights } from "../../model/control-service.ts";
import { S3_NAMESPACE, XML_HEAD, escapeXml } from "../common/xml-write.ts";
import type { BucketCall, Services } from "./call.ts";
import { noSuchKey } from "./errors.ts";
import { operation } from "./operation.ts";
import { ownerXml } from "./owner.ts";
import { checkVersionId } from "./version-id.ts";

/** ACLs can't be set: what is shown are the caller's own rights, as Garage does. */

export const GetBucketAcl = operation({
  scope: "bucket",
  right: "read",
  route: { method: "GET", subresource: "acl" },
  run: getBucketAcl,
});

export const GetObjectAcl = operation({
  scope: "object",
  right: "read",
  route: { method: "GET", subresource: "acl" },
  params: ["versionId"],
  run: getObjectAcl,
});

function getBucketAcl(call: BucketCall): void {
  call.answer.xml(aclXml(call, call.bucket.rights(call.accessKey.id)));
}

async function getObjectAcl(call: BucketCall, services: Services): Promise<void> {
  checkVersionId(call.query, call.key);
  if ((await services.objects.lookup({ bucket: call.bucket, key: call.key })) === null) throw noSuchKey(call.key);
  call.answer.xml(aclXml(call, { ...call.bucket.rights(call.accessKey.id), write: false }));
}

function aclXml({ accessKey }: BucketCall, rights: Rights): string {
  const permissions = rights.owner
    ? ["FULL_CONTROL"]
    : [...(rights.read ? ["READ", "READ_ACP"] : []), ...(rights.write ? ["WRITE"] : [])];
  const grantee =
    '<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser">' +
    `<ID>${escapeXml(accessKey.id)}</ID><DisplayName>${escapeXml(accessKey.name)}</DisplayName></Grantee>`;
  const grants = permissions.map((permission) => `<Grant>${grantee}<Permission>${permission}</Permission></Grant>`).join("");
  return (
    `${XML_HEAD}<AccessControlPolicy xmlns="${S3_NAMESPACE}">${ownerXml("Owner", accessKey)}` +
    `<AccessControlList>${grants}</AccessControlList></AccessControlPolicy>`
  );
}
