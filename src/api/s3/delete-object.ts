import type { BucketCall, Services } from "./call.ts";
import { checkMayCompare, ifMatchCondition } from "./conditions.ts";
import { refusal } from "./errors.ts";
import { operation } from "./operation.ts";
import { deletesCurrent } from "./version-id.ts";

/** DeleteObject: 204 whether or not there was one. https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObject.html */
export const DeleteObject = operation({
  scope: "object",
  right: "write",
  route: { method: "DELETE" },
  params: ["versionId"],
  understood: ["if-match"],
  run: deleteObject,
});

async function deleteObject(call: BucketCall, services: Services): Promise<void> {
  const { bucket, key, request, answer } = call;
  if (!deletesCurrent(call.query.get("versionId"))) return answer.send(204, []);
  const ifMatch = request.header("if-match");
  const condition = ifMatch === undefined ? undefined : ifMatchCondition(ifMatch);
  checkMayCompare(condition, call);
  const outcome = await services.objects.delete(condition === undefined ? { bucket, key } : { bucket, key, condition });
  if (!outcome.ok) throw refusal(outcome, call, { condition: "If-Match" });
  answer.send(204, []);
}
