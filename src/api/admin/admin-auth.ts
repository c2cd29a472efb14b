import { createHash, timingSafeEqual } from "node:crypto";
import type { Control } from "../../model/control/control.ts";
import type { TokenRow } from "../../model/control/rows.ts";
import type { Clock } from "../../platform/clock.ts";
import type { HttpRequest } from "../../platform/http.ts";
import { AdminError } from "./admin-error.ts";
import { localProof, PROOF_WINDOW_MS } from "../../util/local-proof.ts";
import { tokenFits } from "./tokens.ts";

/** Who may call what. Throws AdminError AccessDenied; returns the token for GetCurrentAdminTokenInfo. */
export interface AdminAuthorizer {
  operation(request: HttpRequest, name: string, body: Uint8Array): Caller;
  metrics(request: HttpRequest): void;
}

/** Behind a call: the master token of the configuration, a stored token, or the command line on this machine. */
export type Caller = { readonly kind: "master" | "local" } | { readonly kind: "token"; readonly token: TokenRow };

export interface TokenOptions {
  readonly adminToken: string | undefined;
  readonly metricsToken: string | undefined;
  readonly metricsRequireToken: boolean;
}

/** Bearer tokens: the configured ones, or stored ones ("<id>.<secret>") with their scope and expiry. */
export function tokenAuthorizer(
  options: TokenOptions,
  { control, clock }: { readonly control: Control; readonly clock: Clock },
): AdminAuthorizer {
  const stored = (bearer: string, scope: string): TokenRow => {
    const token = control.view.tokens.get(bearer.slice(0, bearer.indexOf(".")));
    if (!token || !tokenFits(bearer, token.hash)) throw new AdminError("AccessDenied", "this admin token is not known");
    if (token.expiresMs !== undefined && token.expiresMs <= clock.wallMs())
      throw new AdminError("AccessDenied", "this admin token has expired");
    const free = scope === "GetCurrentAdminTokenInfo";
    if (!free && !token.scope.includes("*") && !token.scope.includes(scope))
      throw new AdminError("AccessDenied", `the scope of this admin token does not include ${scope}`);
    return token;
  };
  return {
    operation(request, name) {
      const bearer = bearerOf(request);
      if (bearer === undefined) throw new AdminError("AccessDenied", "an admin token is needed: Authorization: Bearer …");
      if (same(bearer, options.adminToken)) return { kind: "master" };
      if (!bearer.includes("."))
        throw new AdminError(
          "AccessDenied",
          options.adminToken === undefined
            ? "this admin token is not known (no admin_token is configured)"
            : "this admin token is not known",
        );
      return { kind: "token", token: stored(bearer, name) };
    },
    metrics(request) {
      if (options.metricsToken === undefined && !options.metricsRequireToken) return;
      const bearer = bearerOf(request);
      if (bearer === undefined) throw new AdminError("AccessDenied", "a metrics token is needed: Authorization: Bearer …");
      if (same(bearer, options.metricsToken) || same(bearer, options.adminToken)) return;
      if (!bearer.includes(".")) throw new AdminError("AccessDenied", "this metrics token is not known");
      stored(bearer, "Metrics");
    },
  };
}

/** The command line on this machine: proves that it knows rpc_secret, over the daemon's private socket. */
export function localAuthorizer(rpcSecret: string, clock: Clock): AdminAuthorizer {
  const check = (request: HttpRequest, body: Uint8Array): void => {
    const [kind, time = "", proof = ""] = (request.header("authorization") ?? "").split(" ");
    const fresh = Math.abs(Number(time) - clock.wallMs()) <= PROOF_WINDOW_MS;
    const expected = localProof({ rpcSecret, time, method: request.method, target: request.target, body });
    if (kind !== "Hangar-RPC" || !fresh || !same(proof, expected))
      throw new AdminError("AccessDenied", "the rpc_secret of this command is not the daemon's");
  };
  return {
    operation(request, _name, body) {
      check(request, body);
      return { kind: "local" };
    },
    metrics(request) {
      check(request, new Uint8Array());
    },
  };
}

function bearerOf(request: HttpRequest): string | undefined {
  return /^Bearer\s+(\S+)\s*$/i.exec(request.header("authorization") ?? "")?.[1];
}

/** Constant-time comparison; false when there is nothing to compare with. */
function same(given: string, expected: string | undefined): boolean {
  if (expected === undefined) return false;
  const hash = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(hash(given), hash(expected));
}
