import { existsSync, readFileSync } from "node:fs";

/** A JSON schema as far as the reference document uses it. */
interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | boolean;
  readonly items?: Schema | boolean;
  readonly prefixItems?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly anyOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
}

interface ReferenceOperation {
  readonly method: string;
  /** Undefined: nothing is answered. */
  readonly response: Schema | undefined;
  readonly parameters: readonly string[];
  readonly body: Schema | undefined;
}

/** The Admin API v2 as Garage's own OpenAPI document describes it; undefined where that lies not beside the checkout. */
export class ReferenceApi {
  readonly #schemas: Readonly<Record<string, Schema>>;
  readonly operations: ReadonlyMap<string, ReferenceOperation>;

  private constructor(document: {
    readonly paths: Readonly<Record<string, Readonly<Record<string, RawOperation>>>>;
    readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
  }) {
    this.#schemas = document.components.schemas;
    this.operations = new Map(
      Object.entries(document.paths).flatMap(([path, methods]) =>
        Object.entries(methods).map(([method, raw]): [string, ReferenceOperation] => [
          path.replace("/v2/", ""),
          {
            method: method.toUpperCase(),
            response: raw.responses["200"]?.content?.["application/json"]?.schema,
            parameters: (raw.parameters ?? []).map((parameter) => parameter.name),
            body: raw.requestBody?.content["application/json"]?.schema,
          },
        ]),
      ),
    );
  }

  static load(): ReferenceApi | undefined {
    const file = new URL("../../../../../shared/reference/garage-admin-v2.json", import.meta.url);
    return existsSync(file) ? new ReferenceApi(JSON.parse(readFileSync(file, "utf8"))) : undefined;
  }

  /**
   * What of a value is not as the schema says, each with its path: missing or mistyped fields; `extra` lists fields that it does
   * not have.
   */
  compare(value: unknown, schema: Schema): { readonly faults: readonly string[]; readonly extra: readonly string[] } {
    const faults: string[] = [];
    const extra: string[] = [];
    this.#walk(value, schema, "$", faults, extra);
    return { faults, extra };
  }

  #walk(value: unknown, schema: Schema, at: string, faults: string[], extra: string[]): void {
    if (schema.$ref) {
      const found = this.#schemas[schema.$ref.replace("#/components/schemas/", "")];
      if (!found) faults.push(`${at}: ${schema.$ref} is not defined`);
      else this.#walk(value, found, at, faults, extra);
      return;
    }
    for (const part of schema.allOf ?? []) this.#walk(value, part, at, faults, []);
    if (schema.allOf && isObject(value)) this.#extras(value, this.fieldsOf(schema), at, extra);
    const choices = schema.oneOf ?? schema.anyOf;
    if (choices) {
      const tried = choices.map((choice) => {
        const one = { faults: [] as string[], extra: [] as string[] };
        this.#walk(value, choice, at, one.faults, one.extra);
        return one;
      });
      const fits = tried.filter((one) => one.faults.length === 0).sort((a, b) => a.extra.length - b.extra.length)[0];
      if (fits) extra.push(...fits.extra);
      else faults.push(`${at}: fits none of ${choices.length} (${tried.flatMap((one) => one.faults).join(" | ")})`);
      return;
    }
    const types = schema.type === undefined ? [] : [schema.type].flat();
    if (types.length > 0 && !types.some((type) => isOf(value, type))) {
      faults.push(`${at}: ${JSON.stringify(value)} is not ${types.join(" or ")}`);
      return;
    }
    if (schema.enum && !schema.enum.includes(value))
      faults.push(`${at}: ${JSON.stringify(value)} is none of ${schema.enum.join(", ")}`);
    if (Array.isArray(value)) {
      for (const [n, item] of value.entries()) {
        const itemSchema = schema.prefixItems?.[n] ?? schema.items;
        if (typeof itemSchema === "object") this.#walk(item, itemSchema, `${at}[${n}]`, faults, extra);
      }
    } else if (isObject(value)) {
      for (const name of schema.required ?? []) if (!(name in value)) faults.push(`${at}.${name} is missing`);
      const { properties = {}, additionalProperties } = schema;
      for (const [name, field] of Object.entries(value)) {
        const own = properties[name];
        if (own) this.#walk(field, own, `${at}.${name}`, faults, extra);
        else if (typeof additionalProperties === "object") this.#walk(field, additionalProperties, `${at}.*`, faults, extra);
      }
      if (Object.keys(properties).length > 0 && !schema.allOf) this.#extras(value, Object.keys(properties), at, extra);
    }
  }

  #extras(value: object, known: readonly string[], at: string, extra: string[]): void {
    for (const name of Object.keys(value)) if (!known.includes(name)) extra.push(`${at}.${name}`.replace(/\[\d+\]/g, "[]"));
  }

  /** Names of the fields that a value may have, all variants together. */
  fieldsOf(schema: Schema): readonly string[] {
    const target = schema.$ref ? this.#schemas[schema.$ref.replace("#/components/schemas/", "")] : schema;
    const parts = [...(target?.allOf ?? []), ...(target?.oneOf ?? []), ...(target?.anyOf ?? [])];
    return [...Object.keys(target?.properties ?? {}), ...parts.flatMap((part) => this.fieldsOf(part))];
  }
}

interface RawOperation {
  readonly parameters?: readonly { readonly name: string }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, { readonly schema: Schema }>> }>>;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isOf(value: unknown, type: string): boolean {
  switch (type) {
    case "null":
      return value === null;
    case "integer":
      return Number.isInteger(value);
    case "array":
      return Array.isArray(value);
    case "object":
      return isObject(value);
    default:
      return typeof value === type;
  }
}
