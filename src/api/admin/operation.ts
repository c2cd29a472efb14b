import type { z } from "zod";
import type { Caller } from "./admin-auth.ts";
import type { IgnoredAcls } from "../common/ignored-acls.ts";
import type { BlockOperations } from "./block-context.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Random } from "../../platform/random.ts";
import type { Control } from "../../model/control/control.ts";
import type { Inspection } from "../../model/inspection/inspection.ts";
import type { ObjectService } from "../../model/object-service.ts";
import type { NodeId } from "../../util/ids.ts";

/** What the operations work on. What the store can't do now, all of it says with a ServiceError. */
export interface AdminContext {
  readonly control: Control;
  readonly objects: ObjectService;
  readonly ignoredAcls: IgnoredAcls;
  readonly inspection: Inspection;
  readonly blocks: BlockOperations;
  readonly clock: Clock;
  readonly random: Random;
  readonly node: NodeFacts;
  /** Tokens of the configuration file, for the token list. */
  readonly configTokens: { readonly admin: boolean; readonly metrics: boolean };
}

/** The context of one call. */
export interface CallContext extends AdminContext {
  readonly caller: Caller;
}

/** What this node says about itself. */
export interface NodeFacts {
  readonly id: NodeId;
  readonly hostname: string;
  readonly version: string;
  /** rpc_public_addr, else the bind address. */
  readonly address: string;
  readonly dbEngine: string;
  readonly rootDomain: string | undefined;
  space(): Promise<{ readonly data: Space; readonly metadata: Space }>;
  /** What an operator should know of, worst first; empty when all is well. */
  problems(): readonly NodeProblem[];
  /** Lines for `stats`. */
  statistics(): readonly string[];
}

export interface NodeProblem {
  /** A sentence, with what to do. */
  readonly message: string;
  /** Whether the node can't serve all its data because of it. */
  readonly isUnavailable: boolean;
}

export interface Space {
  readonly availableBytes: number;
  readonly totalBytes: number;
}

/**
 * One admin operation: served as /v2/<name> over HTTP, by the CLI, and by `json-api`. `perNode` ones take `node` (an id prefix,
 * "self" or "*") and answer {success, error} by node id.
 */
export interface Operation<Q extends z.ZodType = z.ZodType, B extends z.ZodType = z.ZodType, R extends z.ZodType = z.ZodType> {
  readonly name: string;
  readonly method: "GET" | "POST";
  /** Query parameters: an object of strings. */
  readonly query?: Q;
  readonly body?: B;
  readonly response: R;
  readonly perNode?: boolean;
  run(context: CallContext, input: { readonly query: z.output<Q>; readonly body: z.output<B> }): Promise<z.input<R>> | z.input<R>;
}

/** Keeps the types of one operation together; the table then holds them as plain `Operation`s. */
export function operation<Q extends z.ZodType, B extends z.ZodType, R extends z.ZodType>(
  definition: Operation<Q, B, R>,
): Operation {
  return definition as unknown as Operation;
}
