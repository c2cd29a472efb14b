import { z } from "zod";
import { ADMIN_STATUS } from "./admin-error.ts";
import { ADMIN_OPERATIONS } from "./admin-operations.ts";
import type { Operation } from "./operation.ts";

type Json = Readonly<Record<string, unknown>>;

/** The OpenAPI 3.1 document of the Admin API, made from the table of operations. */
export function openApiDocument(version: string): Json {
  const paths: Record<string, Json> = {};
  for (const operation of [...ADMIN_OPERATIONS.values()].sort((a, b) => (a.name < b.name ? -1 : 1)))
    paths[`/v2/${operation.name}`] = { [operation.method.toLowerCase()]: described(operation) };
  return {
    openapi: "3.1.0",
    info: {
      title: "Hangar administration API",
      version,
      description: "Operations of the admin port. Names and fields are those of Garage's Admin API v2, with a few of our own.",
      license: { name: "AGPL-3.0-only", identifier: "AGPL-3.0-only" },
    },
    servers: [{ url: "http://localhost:3903" }],
    security: [{ bearer: [] }],
    paths: { ...OPEN_PATHS, ...paths },
    components: {
      securitySchemes: { bearer: { type: "http", scheme: "bearer" } },
      schemas: {
        Error: {
          type: "object",
          required: ["code", "message", "region", "path"],
          properties: {
            code: { type: "string", enum: Object.keys(ADMIN_STATUS) },
            message: { type: "string" },
            region: { type: "string" },
            path: { type: "string" },
          },
        },
      },
    },
  };
}

function described(operation: Operation): Json {
  const { name, query, body, response, perNode } = operation;
  return {
    operationId: name,
    parameters: [...(perNode ? [NODE_PARAMETER] : []), ...(query ? parametersOf(query) : [])],
    ...(body ? { requestBody: { required: true, content: jsonOf(schemaOf(body, "input")) } } : {}),
    responses: {
      "200": { description: "done", content: jsonOf(perNode ? byNode(response) : schemaOf(response, "output")) },
      default: { description: "refused or failed", content: jsonOf({ $ref: "#/components/schemas/Error" }) },
    },
  };
}

function parametersOf(query: z.ZodType): readonly Json[] {
  const { properties = {}, required = [] } = schemaOf(query, "input") as {
    properties?: Record<string, Json>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, schema]) => ({ name, in: "query", required: required.includes(name), schema }));
}

/** Answers of operations on nodes: by node id, what it said or why it did not. */
function byNode(response: z.ZodType): Json {
  return {
    type: "object",
    required: ["success", "error"],
    properties: {
      success: { type: "object", additionalProperties: schemaOf(response, "output") },
      error: { type: "object", additionalProperties: { type: "string" } },
    },
  };
}

function schemaOf(type: z.ZodType, io: "input" | "output"): Json {
  const { $schema: _dialect, ...schema } = z.toJSONSchema(type, { io });
  return schema;
}

function jsonOf(schema: Json): Json {
  return { "application/json": { schema } };
}

const NODE_PARAMETER: Json = {
  name: "node",
  in: "query",
  required: true,
  description: "a node id, the beginning of one, self, or * for all",
  schema: { type: "string" },
};

const text = (description: string): Json => ({ description, content: { "text/plain": { schema: { type: "string" } } } });

const OPEN_PATHS: Readonly<Record<string, Json>> = {
  "/health": {
    get: {
      operationId: "Health",
      security: [],
      responses: { "200": text("the store serves"), "503": text("it can't serve all data") },
    },
  },
  "/check": {
    get: {
      operationId: "CheckDomain",
      security: [],
      parameters: [{ name: "domain", in: "query", required: true, schema: { type: "string" } }],
      responses: { "200": text("the domain is served here"), "400": { description: "it is not" } },
    },
  },
  "/metrics": {
    get: { operationId: "Metrics", responses: { "200": text("Prometheus text"), "403": { description: "refused" } } },
  },
};
