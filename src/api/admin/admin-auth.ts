import { createHash, timingSafeEqual } from "node:crypto";
import type { Control } from "../../model/control/control.ts";
import type { TokenRow } from "../../model/control/rows.ts";
import type { Clock } from "../../platform/clock.ts";
import type { HttpRequest } from "../../platform/http.ts";
import { localProof, PROOF_WINDOW_MS } from "../../util/local-proof.ts";
import { AdminError } from "./admin-error.ts";
import { TokenVerifier } from "./token-verifier.ts";

/** Who may call what. @throws AdminError AccessDenied · TooManyRequests */
export interface AdminAuthorizer {
  /**
   * Checks what can be checked before a byte of the body is read; the rest when it is there.
   * @returns the second look, which says who calls.
   */
  operation(request: HttpRequest, name: string): Promise<(body: Uint8Array) => Caller>;
  metrics(request: HttpRequest): Promise<void>;
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
  const verifier = new TokenVerifier({ clock });
  const stored = async (request: HttpRequest, bearer: string, scope: string): Promise<TokenRow> => {
    const id = bearer.slice(0, bearer.indexOf("."));
    const row = control.view.tokens.get(id);
    const fits = row !== undefined && (await verifier.fits(row, bearer, request.remoteAddress));
    // As the token is now: it may have been changed or deleted while its hash was computed.
    const token = control.view.tokens.get(id);
    if (!fits || token?.hash !== row.hash) throw new AdminError("AccessDenied", "this admin token is not known");
    if (token.expiresMs !== undefined && token.expiresMs <= clock.wallMs())
      throw new AdminError("AccessDenied", "this admin token has expired");
    const free = scope === "GetCurrentAdminTokenInfo";
    if (!free && !token.scope.includes("*") && !token.scope.includes(scope))
      throw new AdminError("AccessDenied", `the scope of this admin token does not include ${scope}`);
    return token;
  };
  return {
    async operation(request, name) {
      const bearer = bearerOf(request);
      if (bearer === undefined) throw new AdminError("AccessDenied", "an admin token is needed: Authorization: Bearer …");
      if (same(bearer, options.adminToken)) return () => ({ kind: "master" });
      if (!bearer.includes("."))
        throw new AdminError(
          "AccessDenied",
          options.adminToken === undefined
            ? "this admin token is not known (no admin_token is configured)"
            : "this admin token is not known",
        );
      const token = await stored(request, bearer, name);
      return () => ({ kind: "token", token });
    },
    async metrics(request) {
      if (options.metricsToken === undefined && !options.metricsRequireToken) return;
      const bearer = bearerOf(request);
      if (bearer === undefined) throw new AdminError("AccessDenied", "a metrics token is needed: Authorization: Bearer …");
      if (same(bearer, options.metricsToken) || same(bearer, options.adminToken)) return;
      if (!bearer.includes(".")) throw new AdminError("AccessDenied", "this metrics token is not known");
      await stored(request, bearer, "Metrics");
    },
  };
}

/** The command line on this machine: proves that it knows rpc_secret, over the daemon's private socket. */
export function localAuthorizer(rpcSecret: string, clock: Clock): AdminAuthorizer {
  const refuse = (): never => {
    throw new AdminError("AccessDenied", "the rpc_secret of this command is not the daemon's");
  };
  const check = async (request: HttpRequest): Promise<(body: Uint8Array) => Caller> => {
    const [kind, time = "", proof = ""] = (request.header("authorization") ?? "").split(" ");
    const fresh = Math.abs(Number(time) - clock.wallMs()) <= PROOF_WINDOW_MS;
    if (kind !== "Hangar-RPC" || !fresh) refuse();
    return (body) => {
      const expected = localProof({ rpcSecret, time, method: request.method, target: request.target, body });
      return same(proof, expected) ? { kind: "local" } : refuse();
    };
  };
  return {
    operation: check,
    async metrics(request) {
      (await check(request))(new Uint8Array());
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
