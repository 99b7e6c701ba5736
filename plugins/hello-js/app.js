// Answers every request with a greeting: a handler of WASI 0.2 in JavaScript.

const headers = { "content-type": "text/plain" };

addEventListener("fetch", (event) => {
  event.respondWith(new Response("Hello from Samovar!\n", { headers }));
});
