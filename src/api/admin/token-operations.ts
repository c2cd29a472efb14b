import { z } from "zod";
import type { TokenRow } from "../../model/control/rows.ts";
import { AdminError } from "./admin-error.ts";
import { expiryOf, isoDate, optionalText, tokenId } from "./fields.ts";
import { isExpired } from "./key-operations.ts";
import { type AdminContext, type Operation, operation } from "./operation.ts";
import { hashToken } from "./tokens.ts";

const tokenInfo = z.object({
  id: z.string().nullable(),
  created: z.string().nullable(),
  name: z.string(),
  expiration: z.string().nullable(),
  expired: z.boolean(),
  scope: z.array(z.string()),
});
type TokenInfo = z.input<typeof tokenInfo>;

const tokenChange = z.object({
  name: z.string().max(256).nullish(),
  expiration: z.iso.datetime({ offset: true }).nullish(),
  neverExpires: z.boolean().optional(),
  scope: z.array(z.string()).nullish(),
});

/** `knownOperations`: the names that a scope may list. */
export function tokenOperations(knownOperations: () => ReadonlySet<string>): readonly Operation[] {
  return [
    operation({
      name: "ListAdminTokens",
      method: "GET",
      response: z.array(tokenInfo),
      run: (context) => [
        ...configTokens(context),
        ...[...context.control.view.tokens.values()]
          .sort((a, b) => a.createdMs - b.createdMs || (a.id < b.id ? -1 : 1))
          .map((token) => describe(context, token)),
      ],
    }),
    operation({
      name: "GetAdminTokenInfo",
      method: "GET",
      query: z.object({ id: tokenId.optional(), search: optionalText }),
      response: tokenInfo,
      run: (context, { query }) => describe(context, findToken(context, query)),
    }),
    operation({
      name: "GetCurrentAdminTokenInfo",
      method: "GET",
      response: tokenInfo,
      run: (context) => {
        const { caller } = context;
        if (caller.kind === "token") return describe(context, caller.token);
        if (caller.kind === "master") return configTokens(context)[0] as TokenInfo;
        throw new AdminError("InvalidRequest", "this call came without a token");
      },
    }),
    operation({
      name: "CreateAdminToken",
      method: "POST",
      body: tokenChange,
      response: tokenInfo.extend({ secretToken: z.string() }),
      run: async (context, { body }) => {
        const { control, random } = context;
        const id = Buffer.from(random.bytes(12)).toString("hex");
        const secretToken = `${id}.${Buffer.from(random.bytes(32)).toString("base64url")}`;
        const expiresMs = expiryOf(body);
        const result = await control.command({
          op: "create-token",
          token: {
            id,
            name: body.name ?? "Unnamed token",
            hash: await hashToken(secretToken, random.bytes(16)),
            ...(typeof expiresMs === "number" ? { expiresMs } : {}),
            scope: checkedScope(body.scope ?? ["*"], knownOperations()),
          },
        });
        if (!result.ok) throw new AdminError("ServiceUnavailable", `the token could not be made: ${result.code}; try again`);
        return { ...describe(context, findToken(context, { id })), secretToken };
      },
    }),
    operation({
      name: "UpdateAdminToken",
      method: "POST",
      query: z.object({ id: tokenId }),
      body: tokenChange,
      response: tokenInfo,
      run: async (context, { query, body }) => {
        const { id } = findToken(context, query);
        const expiresMs = expiryOf(body);
        // A token deleted meanwhile is not found below.
        await context.control.command({
          op: "update-token",
          id,
          ...(body.name == null ? {} : { name: body.name }),
          ...(body.scope == null ? {} : { scope: checkedScope(body.scope, knownOperations()) }),
          ...(expiresMs === undefined ? {} : { expiresMs }),
        });
        return describe(context, findToken(context, { id }));
      },
    }),
    operation({
      name: "DeleteAdminToken",
      method: "POST",
      query: z.object({ id: tokenId }),
      response: z.null(),
      run: async (context, { query }) => {
        const result = await context.control.command({ op: "delete-token", id: findToken(context, query).id });
        if (!result.ok) throw new AdminError("NoSuchAdminToken", `there is no admin token ${query.id}`);
        return null;
      },
    }),
  ];
}

function configTokens({ configTokens: present }: AdminContext): TokenInfo[] {
  const found: TokenInfo[] = [];
  if (present.admin)
    found.push({
      id: null,
      created: null,
      name: "admin_token (from daemon configuration)",
      expiration: null,
      expired: false,
      scope: ["*"],
    });
  if (present.metrics)
    found.push({
      id: null,
      created: null,
      name: "metrics_token (from daemon configuration)",
      expiration: null,
      expired: false,
      scope: ["Metrics"],
    });
  return found;
}

function findToken(
  { control }: AdminContext,
  wanted: { readonly id?: string | undefined; readonly search?: string | undefined },
): TokenRow {
  if ((wanted.id === undefined) === (wanted.search === undefined))
    throw new AdminError("InvalidRequest", "give either id or search");
  const search = wanted.search ?? "";
  const exact = control.view.tokens.get(wanted.id ?? search);
  if (exact) return exact;
  const found =
    wanted.id !== undefined
      ? []
      : [...control.view.tokens.values()].filter((token) => token.name === search || token.id.startsWith(search));
  if (found.length === 1) return found[0] as TokenRow;
  if (found.length === 0) throw new AdminError("NoSuchAdminToken", `there is no admin token ${wanted.id ?? search}`);
  throw new AdminError("InvalidRequest", `${found.length} admin tokens fit ${search}; give more of the id`);
}

function checkedScope(scope: readonly string[], known: ReadonlySet<string>): readonly string[] {
  for (const name of scope)
    if (name !== "*" && name !== "Metrics" && !known.has(name))
      throw new AdminError(
        "InvalidRequest",
        `${name} is no operation; a scope lists names such as GetClusterHealth, Metrics, or *`,
      );
  return [...new Set(scope)];
}

function describe({ clock }: AdminContext, token: TokenRow): TokenInfo {
  return {
    id: token.id,
    created: isoDate(token.createdMs),
    name: token.name,
    expiration: isoDate(token.expiresMs),
    expired: isExpired({ expiresMs: token.expiresMs }, clock.wallMs()),
    scope: [...token.scope],
  };
}
