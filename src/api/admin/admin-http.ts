import type { BucketView } from "../../model/control/control-view.ts";
import { ServiceError } from "../../model/object-service.ts";
import { HttpBodyError, type HttpHandler, type HttpRequest, type HttpResponse } from "../../platform/http.ts";
import type { Log } from "../../platform/log.ts";
import { ADMIN_STATUS, AdminError, type AdminErrorCode } from "./admin-error.ts";
import type { AdminAuthorizer } from "./admin-auth.ts";
import type { AdminContext } from "./operation.ts";

export interface AdminHttpOptions {
  readonly context: AdminContext;
  readonly authorize: AdminAuthorizer;
  readonly region: string;
  readonly log: Log;
  /** Prometheus text; loads its library on the first scrape. */
  readonly metrics: () => Promise<{ readonly contentType: string; readonly body: string }>;
}

/** Largest JSON body of an operation. */
export const MAX_BODY_BYTES = 1 << 20;
/** Where the command line calls an operation without knowing which of its fields are query parameters. */
const JSON_API = "/v2/json-api/";
const CORS = ["Access-Control-Allow-Origin", "*"];

/**
 * The admin port: /v2/<Operation>, /health, /check, /metrics. Operations and their schemas are loaded on the first call, which
 * keeps their library out of an idle daemon's memory.
 */
export function createAdminHandler(options: AdminHttpOptions): HttpHandler {
  return async (request, response) => {
    try {
      await answer(options, request, response);
    } catch (error) {
      sendError(options, request, response, error);
    }
  };
}

async function answer(options: AdminHttpOptions, request: HttpRequest, response: HttpResponse): Promise<void> {
  const { context, authorize } = options;
  const cut = request.target.indexOf("?");
  const path = cut < 0 ? request.target : request.target.slice(0, cut);
  const query = new URLSearchParams(cut < 0 ? "" : request.target.slice(cut + 1));
  if (request.method === "OPTIONS") {
    response.send(200, [
      ...CORS,
      "Access-Control-Allow-Methods",
      "OPTIONS, GET, POST",
      "Access-Control-Allow-Headers",
      "authorization, content-type",
      "Allow",
      "OPTIONS, GET, POST",
    ]);
    return;
  }
  if (path === "/health" || path === "/check" || path === "/metrics") {
    if (request.method !== "GET" && request.method !== "HEAD")
      throw new AdminError("InvalidRequest", `${path} is called with GET`);
    if (path === "/health") return health(context, response);
    if (path === "/check") return check(context, query, response);
    await authorize.metrics(request);
    const { contentType, body } = await options.metrics();
    response.send(200, ["Content-Type", contentType], body);
    return;
  }
  const generic = path.startsWith(JSON_API);
  const name = generic ? path.slice(JSON_API.length) : path.startsWith("/v2/") ? path.slice(4) : "";
  if (!/^[A-Za-z]+$/.test(name)) throw new AdminError("InvalidRequest", `${path}: unknown path; operations are at /v2/<Name>`);
  const identify = await authorize.operation(request, name);
  const body = await readBody(request);
  const caller = identify(body);
  const { ADMIN_OPERATIONS, runOperation, splitInput } = await import("./admin-operations.ts");
  const { queryNames } = await import("./input.ts");
  const operation = ADMIN_OPERATIONS.get(name);
  if (!operation) throw new AdminError("InvalidRequest", `there is no operation ${name}`);
  if (generic) {
    sendJson(response, await runOperation(context, name, splitInput(operation, parseJson(body)), caller));
    return;
  }
  if (operation.method !== request.method) throw new AdminError("InvalidRequest", `${name} is called with ${operation.method}`);
  const parameters = onceEach(query, queryNames(operation));
  const json = operation.body ? parseJson(body) : undefined;
  sendJson(response, await runOperation(context, name, { query: parameters, body: json }, caller));
}

/** The parameters of these names that have a value; an unknown or an empty one is as good as none. */
function onceEach(query: URLSearchParams, names: readonly string[]): Readonly<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const name of names) {
    const [value, ...more] = query.getAll(name).filter((one) => one !== "");
    if (more.length > 0) throw new AdminError("InvalidRequest", `the query parameter ${name} is given twice`);
    if (value !== undefined) found[name] = value;
  }
  return found;
}

function sendJson(response: HttpResponse, value: unknown): void {
  response.send(200, [...CORS, "Content-Type", "application/json"], `${JSON.stringify(value, null, 2)}\n`);
}

async function health(context: AdminContext, response: HttpResponse): Promise<void> {
  const { clusterHealth } = await import("./cluster-operations.ts");
  const { status } = clusterHealth(context);
  const sentence =
    status === "healthy"
      ? "Hangar is fully operational"
      : status === "degraded"
        ? "Hangar is operational, but some nodes are away"
        : "Hangar can't serve all data now";
  response.send(
    status === "unavailable" ? 503 : 200,
    [...CORS, "Content-Type", "text/plain"],
    `${sentence}\nConsult the full health check API endpoint at /v2/GetClusterHealth for more details\n`,
  );
}

/** Whether a domain name is served here: for reverse proxies that ask before they get a certificate. */
function check({ control, node }: AdminContext, query: URLSearchParams, response: HttpResponse): void {
  const domain = query.get("domain")?.toLowerCase();
  if (!domain) throw new AdminError("InvalidRequest", "give the query parameter domain");
  const bucketOf = (name: string): BucketView | undefined => {
    const id = control.view.aliases.get(name);
    return id === undefined ? undefined : control.bucket(id);
  };
  const root = node.rootDomain?.replace(/^\./, "").toLowerCase();
  const underRoot = root && domain.endsWith(`.${root}`) ? bucketOf(domain.slice(0, -root.length - 1)) : undefined;
  if (!underRoot && !bucketOf(domain)?.website)
    throw new AdminError("InvalidRequest", `Domain '${domain}' is not managed by Hangar`);
  response.send(200, [...CORS, "Content-Type", "text/plain"], `Domain '${domain}' is managed by Hangar\n`);
}

async function readBody(request: HttpRequest): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const piece = await request.body.read();
    if (piece === null) return Buffer.concat(pieces);
    length += piece.byteLength;
    if (length > MAX_BODY_BYTES) {
      request.body.cancel();
      throw new AdminError("InvalidRequest", `the body is larger than ${MAX_BODY_BYTES} bytes`);
    }
    pieces.push(Uint8Array.from(piece));
  }
}

function parseJson(body: Buffer): unknown {
  if (body.byteLength === 0) return undefined;
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    throw new AdminError("InvalidRequest", "the body is not valid JSON");
  }
}

function sendError(options: AdminHttpOptions, request: HttpRequest, response: HttpResponse, error: unknown): void {
  const path = request.target.split("?")[0] ?? "";
  const { code, message } = toldAs(error);
  if (code === "InternalError" || code === "ServiceUnavailable")
    options.log.error({ err: error, target: path }, "admin operation failed");
  if (response.started) return;
  response.send(
    ADMIN_STATUS[code],
    [...CORS, "Content-Type", "application/json"],
    `${JSON.stringify({ code, message, region: options.region, path }, null, 2)}\n`,
  );
}

/** What the caller is told; a cause that is nobody's business stays in the log. */
function toldAs(error: unknown): { readonly code: AdminErrorCode; readonly message: string } {
  if (error instanceof AdminError) return error;
  if (error instanceof HttpBodyError) return { code: "InvalidRequest", message: `the body could not be read: ${error.message}` };
  if (error instanceof ServiceError)
    return { code: error.code.startsWith("service.") ? "ServiceUnavailable" : "InternalError", message: error.message };
  return { code: "InternalError", message: "an internal error happened; the daemon's log has the cause" };
}
