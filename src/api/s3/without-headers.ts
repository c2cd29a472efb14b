import type { HttpRequest } from "../../platform/http.ts";

/** The same request as if some headers (lower-case names) had not been sent. */
export function withoutHeaders(request: HttpRequest, hidden: (name: string) => boolean): HttpRequest {
  const rawHeaders: string[] = [];
  for (let at = 0; at < request.rawHeaders.length; at += 2) {
    const name = request.rawHeaders[at] as string;
    if (!hidden(name.toLowerCase())) rawHeaders.push(name, request.rawHeaders[at + 1] as string);
  }
  return {
    method: request.method,
    target: request.target,
    rawHeaders,
    header: (name) => (hidden(name) ? undefined : request.header(name)),
    body: request.body,
    contentLength: request.contentLength,
    remoteAddress: request.remoteAddress,
    get signal() {
      return request.signal;
    },
  };
}
