import type { Clock } from "../../platform/clock.ts";
import type { HttpHandler, HttpRequest, HttpResponse, RenderClientError } from "../../platform/http.ts";
import type { Log } from "../../platform/log.ts";
import type { Counter, Durations, Metrics } from "../../platform/metrics.ts";
import type { Random } from "../../platform/random.ts";
import type { AccessKey, Bucket, ControlService } from "../../model/control-service.ts";
import type { ObjectService } from "../../model/object-service.ts";
import { DateFormats } from "../common/dates.ts";
import { renderErrorXml } from "../common/error-xml.ts";
import type { IgnoredAcls } from "../common/ignored-acls.ts";
import { RequestIds } from "../common/request-id.ts";
import { parseTarget, type RequestTarget } from "../common/request-target.ts";
import { SeldomLog } from "../common/seldom-log.ts";
import { SignatureVerifier, type AuthenticatedRequest } from "../common/signature-verifier.ts";
import { addressOf, rootDomainOf, vhostBucketOf } from "./address.ts";
import { Answer, type Call, type Services } from "./call.ts";
import { clientErrorCode, finalErrorOf, noSuchBucket, s3Error } from "./errors.ts";
import { checkKey } from "./keys.ts";
import type { BucketRight, S3Operation } from "./operation.ts";
import { OPERATIONS, type Operation } from "./operations.ts";
import { requireOwner } from "./owner.ts";
import { withoutChecksumOfNothing } from "./presigned-checksum.ts";
import { route } from "./route.ts";
import { screen } from "./screen.ts";

export interface S3Options {
  /** s3_region: told in GetBucketLocation, and the only one accepted in LocationConstraint. */
  readonly region: string;
  /** s3_strict_region: refuse signatures of another region. */
  readonly strictRegion: boolean;
  /** root_domain of virtual-host style ("s3.example.com" or ".s3.example.com"); path style always works. */
  readonly rootDomain?: string | undefined;
  /** x-amz-id-2 and HostId: which node answered. Not secret. */
  readonly hostId: string;
}

export interface S3Modules {
  readonly objects: ObjectService;
  readonly control: ControlService;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly ignoredAcls: IgnoredAcls;
  readonly metrics?: Metrics;
}

/**
 * The S3 API as a request handler: route → authenticate → authorize → screen → run. Every answer, also an error, carries a
 * request id.
 * Nothing of a body is read before the caller is known (but for browser forms, see post-object.ts). Never rejects.
 */
export function createS3Handler(options: S3Options, modules: S3Modules): HttpHandler {
  const server = new S3Server(options, modules);
  return (request, response) => server.handle(request, response);
}

/** For `HttpListenOptions.renderClientError`: what is no HTTP request gets S3's error document too. */
export const renderS3ClientError: RenderClientError = (status, message, requestId) => ({
  contentType: "application/xml",
  headers: ["x-amz-request-id", requestId],
  body: renderErrorXml({ code: clientErrorCode(status), message, elements: [] }, { requestId }),
});

class S3Server {
  readonly #services: Services;
  readonly #ids: RequestIds;
  readonly #hostId: string;
  readonly #rootDomain: string | undefined;
  readonly #requests: Counter | undefined;
  readonly #errors: Counter | undefined;
  readonly #durations: Durations | undefined;

  constructor(options: S3Options, modules: S3Modules) {
    const { region, strictRegion } = options;
    const { objects, control, clock, random, log, ignoredAcls, metrics } = modules;
    const verifier = new SignatureVerifier(
      { service: "s3", region, strictRegion },
      { clock, accessKey: (id) => control.accessKey(id) },
    );
    const trouble = new SeldomLog({ log, clock });
    this.#services = { objects, control, clock, log, trouble, ignoredAcls, dates: new DateFormats(), verifier, region };
    this.#ids = new RequestIds({ random });
    this.#hostId = options.hostId;
    this.#rootDomain = rootDomainOf(options.rootDomain);
    const labels = ["api_endpoint"];
    this.#requests = metrics?.counter({ name: "api_s3_request_counter", help: "S3 requests", labels });
    this.#errors = metrics?.counter({
      name: "api_s3_error_counter",
      help: "S3 requests answered with an error",
      labels: [...labels, "status_code"],
    });
    this.#durations = metrics?.durations({
      name: "api_s3_request_duration",
      help: "Seconds until an S3 request was answered",
      labels,
    });
  }

  async handle(request: HttpRequest, response: HttpResponse): Promise<void> {
    const startMs = this.#services.clock.monotonicMs();
    const answer = new Answer(response, { requestId: this.#ids.next(), hostId: this.#hostId });
    const label: { operation: Operation | "Unknown" } = { operation: "Unknown" };
    try {
      await this.#run(request, answer, label);
    } catch (error) {
      this.#fail(request, answer, { error, operation: label.operation });
    }
    this.#count(label.operation, answer.status, startMs);
  }

  #run(request: HttpRequest, answer: Answer, label: { operation: Operation | "Unknown" }): Promise<void> | void {
    const target = parseTarget(request.target);
    const host = request.header("host");
    if (host?.includes(",")) throw s3Error("BadRequest", "The request has more than one Host header. Send one.");
    const vhostBucket = this.#rootDomain === undefined ? undefined : vhostBucketOf(host, this.#rootDomain);
    const address = addressOf(target.rawPath, vhostBucket);
    const { method } = request;
    if (method === "OPTIONS") throw preflightRefusal(request);
    const routed = route({
      method,
      bucket: address.bucket,
      key: address.key,
      query: target.query,
      copySource: method === "PUT" && request.header("x-amz-copy-source") !== undefined,
      form: method === "POST" && request.header("content-type")?.toLowerCase().startsWith("multipart/form-data") === true,
    });
    if (!routed.ok) throw routeRefusal(routed, method);
    label.operation = routed.operation;
    const operation = OPERATIONS[routed.operation];
    if (operation.form) {
      screen(routed.operation, request, target.query);
      return operation.run({ request, bucketName: address.bucket, vhost: vhostBucket !== undefined, answer }, this.#services);
    }

    const caller = this.#authenticate(request, target);
    return this.#authorized(routed.operation, operation, {
      request: caller.form === "presigned" ? withoutChecksumOfNothing(caller.request, request) : caller.request,
      // Where "+" was signed as a plus it is one here; the route is the same, as no name or value that it looks for holds "+" or
      // a space.
      query: caller.query,
      bucketName: address.bucket,
      key: address.key,
      vhost: vhostBucket !== undefined,
      accessKey: caller.key,
      payload: caller.payload,
      answer,
    });
  }

  #authenticate(request: HttpRequest, target: RequestTarget): AuthenticatedRequest & { readonly key: AccessKey } {
    const verdict = this.#services.verifier.verify(request, target);
    if (!verdict.ok) {
      const { log } = this.#services;
      if (log.debugEnabled)
        log.debug(
          { code: verdict.error.code, canonicalRequest: verdict.canonicalRequest, stringToSign: verdict.stringToSign },
          "a request could not be authenticated",
        );
      throw verdict.error;
    }
    if (verdict.key === undefined) throw s3Error("AccessDenied", "Access Denied: the request carries no signature.");
    return verdict as AuthenticatedRequest & { readonly key: AccessKey };
  }

  #authorized(name: Operation, operation: Exclude<S3Operation, { readonly form: true }>, call: Call): Promise<void> | void {
    const { control } = this.#services;
    if (operation.scope === "object") checkKey(call.key);
    if (operation.right === "signed" || operation.right === "create") {
      if (operation.right === "create" && !call.accessKey.mayCreateBucket)
        throw s3Error("AccessDenied", "This access key may not create buckets.");
      if (operation.run === undefined) throw notImplemented(name);
      screen(name, call.request, call.query);
      return operation.run(call, this.#services);
    }
    const bucket = control.resolveBucket(call.bucketName, call.accessKey.id);
    if (bucket === undefined) throw noSuchBucket(call.bucketName);
    requireRight(bucket, call.accessKey, operation.right);
    requireOwner(call, "x-amz-expected-bucket-owner");
    if (operation.run === undefined) throw notImplemented(name);
    screen(name, call.request, call.query);
    return operation.run({ ...call, bucket }, this.#services);
  }

  #fail(request: HttpRequest, answer: Answer, { error, operation }: { error: unknown; operation: Operation | "Unknown" }): void {
    const writes = operation !== "Unknown" && OPERATIONS[operation].writes;
    const conditional = writes && (request.header("if-match") !== undefined || request.header("if-none-match") !== undefined);
    const failure = finalErrorOf(error, { conditional });
    const { requestId } = answer;
    const { trouble } = this.#services;
    const kind = `${failure.log} ${failure.code} ${operation}`;
    if (failure.log === "error") trouble.write("error", kind, { err: error, requestId, operation }, "an S3 request failed");
    else if (failure.log === "warn") {
      const fields = { code: failure.code, reason: String(error), requestId, operation };
      trouble.write("warn", kind, fields, "an S3 request could not be served now");
    }
    if (answer.started) return; // The transport has cut a broken answer off; a second one can't be sent.
    const headers = ["Content-Type", "application/xml", ...failure.headers];
    if (request.method === "HEAD") {
      answer.send(failure.status, headers);
      return;
    }
    const mark = request.target.indexOf("?");
    const resource = mark < 0 ? request.target : request.target.slice(0, mark);
    answer.send(failure.status, headers, renderErrorXml(failure, { resource, requestId, hostId: answer.hostId }));
  }

  #count(operation: Operation | "Unknown", status: number, startMs: number): void {
    if (this.#requests === undefined) return;
    this.#requests.add(1, operation);
    if (status >= 400) this.#errors?.add(1, operation, String(status));
    this.#durations?.observe((this.#services.clock.monotonicMs() - startMs) / 1000, operation);
  }
}

function requireRight(bucket: Bucket, key: AccessKey, right: BucketRight): void {
  if (!bucket.rights(key.id)[right])
    throw s3Error("AccessDenied", `Access Denied: this access key has no ${right} right on the bucket.`);
}

function notImplemented(name: Operation): Error {
  return s3Error("NotImplemented", `${name} is not implemented by this store.`, [["Operation", name]]);
}

function routeRefusal(refused: Extract<ReturnType<typeof route>, { ok: false }>, method: string): Error {
  if (refused.why === "conflict")
    return s3Error("InvalidArgument", `Conflicting query string parameters: ${refused.first}, ${refused.second}`, [
      ["ArgumentName", "ResourceType"],
      ["ArgumentValue", refused.first],
    ]);
  return s3Error(
    "MethodNotAllowed",
    "",
    [
      ["Method", method],
      ["ResourceType", refused.resource],
    ],
    { headers: ["Allow", refused.allowed.join(", ")] },
  );
}

/** CORS rules can't be set yet: every preflight is refused as AWS refuses it without rules. */
function preflightRefusal(request: HttpRequest): Error {
  if (request.header("origin") === undefined)
    return s3Error("BadRequest", "Insufficient information. Origin request header needed.");
  const wanted = request.header("access-control-request-method");
  if (wanted === undefined) return s3Error("BadRequest", "Invalid Access-Control-Request-Method: null");
  return s3Error("AccessForbidden", "", [
    ["Method", wanted],
    ["ResourceType", "BUCKET"],
  ]);
}
