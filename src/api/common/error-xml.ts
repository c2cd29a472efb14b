import type { ErrorElements } from "./api-error.ts";
import { XML_HEAD, escapeXml } from "./xml-write.ts";

export interface RenderedError {
  readonly code: string;
  readonly message: string;
  readonly elements: ErrorElements;
}

/**
 * The XML body of an S3 error: Code, Message, further elements, Resource, RequestId, HostId.
 * @param resource  path of the request as received (undecoded); left out when undefined.
 */
export function renderErrorXml(error: RenderedError, place: { resource?: string; requestId: string; hostId?: string }): string {
  let xml = XML_HEAD + "<Error>" + element("Code", error.code) + element("Message", error.message);
  for (const [name, value] of error.elements) xml += element(name, value);
  if (place.resource !== undefined) xml += element("Resource", place.resource);
  xml += element("RequestId", place.requestId);
  if (place.hostId !== undefined) xml += element("HostId", place.hostId);
  return xml + "</Error>";
}

/** AWS leaves the quotes of a refusal as they are (`["eq", "$key", "a"]`); in text they need no escape. */
function element(name: string, value: string): string {
  return `<${name}>${escapeXml(value).replaceAll("&quot;", '"')}</${name}>`;
}
