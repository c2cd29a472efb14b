import type { HttpRequest, HttpResponse } from "../../platform/http.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Log } from "../../platform/log.ts";
import type { AccessKey, Bucket, ControlService } from "../../model/control-service.ts";
import type { ObjectService } from "../../model/object-service.ts";
import type { PayloadMode } from "../common/payload-mode.ts";
import type { Query } from "../common/request-target.ts";
import type { DateFormats } from "../common/dates.ts";
import type { IgnoredAcls } from "../common/ignored-acls.ts";
import type { SeldomLog } from "../common/seldom-log.ts";
import type { SignatureVerifier } from "../common/signature-verifier.ts";

/** What every operation may use; one per S3 server. */
export interface Services {
  readonly objects: ObjectService;
  readonly control: ControlService;
  readonly clock: Clock;
  readonly log: Log;
  /** For what requests without number may meet. */
  readonly trouble: SeldomLog;
  readonly ignoredAcls: IgnoredAcls;
  readonly dates: DateFormats;
  readonly verifier: SignatureVerifier;
  /** As clients see it in GetBucketLocation and x-amz-bucket-region. */
  readonly region: string;
}

/** One request, past routing, authentication and authorization, on its way through an operation. */
export interface Call {
  /** As received; for presigned requests with the x-amz-* query parameters among the headers. */
  readonly request: HttpRequest;
  readonly query: Query;
  readonly bucketName: string;
  readonly key: string;
  /** Whether the bucket came from the host name. */
  readonly vhost: boolean;
  /** The caller. */
  readonly accessKey: AccessKey;
  readonly payload: PayloadMode;
  readonly answer: Answer;
}

/** A call on a bucket that exists, by a key that has the right. */
export interface BucketCall extends Call {
  readonly bucket: Bucket;
}

/** The call of a browser's form, whose caller is known only from its body. */
export interface FormCall {
  readonly request: HttpRequest;
  readonly bucketName: string;
  /** Whether the bucket came from the host name. */
  readonly vhost: boolean;
  readonly answer: Answer;
}

/**
 * The way out: adds the request id to what an operation answers and notes the status. Exactly one of its methods is called per
 * request. Header arrays are owned by the answer once handed over.
 */
export class Answer {
  readonly #response: HttpResponse;
  readonly #hostId: string;
  readonly requestId: string;
  /** 0 until answered. */
  status = 0;

  constructor(response: HttpResponse, ids: { readonly requestId: string; readonly hostId: string }) {
    this.#response = response;
    this.requestId = ids.requestId;
    this.#hostId = ids.hostId;
  }

  get hostId(): string {
    return this.#hostId;
  }

  /** Head and body in one write. */
  send(status: number, headers: string[], body?: Uint8Array | string): void {
    this.status = status;
    headers.push("x-amz-request-id", this.requestId, "x-amz-id-2", this.#hostId);
    this.#response.send(status, headers, body);
  }

  stream(status: number, headers: string[], body: Parameters<HttpResponse["stream"]>[2]): Promise<void> {
    this.status = status;
    headers.push("x-amz-request-id", this.requestId, "x-amz-id-2", this.#hostId);
    return this.#response.stream(status, headers, body);
  }

  /** A document, 200 unless told. */
  xml(document: string, { status = 200, headers = [] }: { status?: number; headers?: string[] } = {}): void {
    headers.push("Content-Type", "application/xml");
    this.send(status, headers, document);
  }

  /** Whether the head has left: then nothing else can be said. */
  get started(): boolean {
    return this.#response.started;
  }
}
