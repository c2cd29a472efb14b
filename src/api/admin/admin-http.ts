import type { HttpHandler, HttpRequest, HttpResponse } from "../../platform/http.ts";
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
  if (path === "/health") return health(context, response);
  if (path === "/check") return check(context, query, response);
  if (path === "/metrics") {
    authorize.metrics(request);
    const { contentType, body } = await options.metrics();
    response.send(200, ["Content-Type", contentType], body);
    return;
  }
  const generic = path.startsWith(JSON_API);
  const name = generic ? path.slice(JSON_API.length) : path.startsWith("/v2/") ? path.slice(4) : "";
  if (!/^[A-Za-z]+$/.test(name)) throw new AdminError("InvalidRequest", `${path}: unknown path; operations are at /v2/<Name>`);
  const body = await readBody(request);
  const caller = authorize.operation(request, name, body);
  const { ADMIN_OPERATIONS, runOperation, splitInput } = await import("./admin-operations.ts");
  const operation = ADMIN_OPERATIONS.get(name);
  if (!operation) throw new AdminError("InvalidRequest", `there is no operation ${name}`);
  if (generic) {
    sendJson(response, await runOperation(context, name, splitInput(operation, parseJson(body)), caller));
    return;
  }
  if (operation.method !== request.method) throw new AdminError("InvalidRequest", `${name} is called with ${operation.method}`);
  sendJson(response, await runOperation(context, name, { query: Object.fromEntries(query), body: parseJson(body) }, caller));
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
  const domain = query.get("domain");
  if (!domain) throw new AdminError("InvalidRequest", "give the query parameter domain");
  const root = node.rootDomain?.replace(/^\./, "");
  const name = root && domain.endsWith(`.${root}`) ? domain.slice(0, -root.length - 1) : domain;
  const id = control.view.aliases.get(name);
  const bucket = id === undefined ? undefined : control.bucket(id);
  if (!bucket || (name === domain && !bucket.website))
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
  const known = error instanceof AdminError;
  const unavailable = !known && (error as { code?: string }).code?.startsWith("service.");
  const code: AdminErrorCode = known ? error.code : unavailable ? "ServiceUnavailable" : "InternalError";
  const message = known || unavailable ? (error as Error).message : "an internal error happened; the daemon's log has the cause";
  if (!known) options.log.error({ err: error, target: request.target.split("?")[0] }, "admin operation failed");
  if (response.started) return;
  const path = request.target.split("?")[0] ?? "";
  response.send(
    ADMIN_STATUS[code],
    [...CORS, "Content-Type", "application/json"],
    `${JSON.stringify({ code, message, region: options.region, path }, null, 2)}\n`,
  );
}
