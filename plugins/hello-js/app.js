// Answers every request with a greeting: a handler of WASI 0.2 in JavaScript.
//
// The engine's `addEventListener("fetch", …)` would be shorter, but an instance that uses it
// serves one request and fails at the second. This way replicas stay warm.

import { Fields, OutgoingBody, OutgoingResponse, ResponseOutparam } from "wasi:http/types@0.2.12";

const text = (string) => new TextEncoder().encode(string);

export const incomingHandler = {
  handle(request, responseOut) {
    const headers = Fields.fromList([["content-type", text("text/plain")]]);
    const response = new OutgoingResponse(headers);
    const body = response.body();
    ResponseOutparam.set(responseOut, { tag: "ok", val: response });
    const stream = body.write();
    stream.blockingWriteAndFlush(text("Hello from Samovar!\n"));
    stream[Symbol.dispose](); // The stream is a child of the body and must go first.
    OutgoingBody.finish(body, undefined);
  },
};
