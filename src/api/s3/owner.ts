import type { AccessKey } from "../../model/control-service.ts";
import { escapeXml } from "../common/xml-write.ts";

/** Owner, Initiator and Grantee: there are keys, no accounts, so every key sees itself as the owner of what it may see. */
export function ownerXml(name: "Owner" | "Initiator", key: AccessKey): string {
  return `<${name}><ID>${escapeXml(key.id)}</ID><DisplayName>${escapeXml(key.name)}</DisplayName></${name}>`;
}
