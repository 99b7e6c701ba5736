// The workloads of `bench compare` for workerd.

const GREETING = new TextEncoder().encode("Hello from Samovar!\n");

export default {
  async fetch(request) {
    switch (new URL(request.url).pathname) {
      case "/echo":
        return new Response(request.body);
      case "/json":
        return Response.json(summary(await request.json()));
      default:
        return new Response(GREETING, { headers: { "content-type": "text/plain" } });
    }
  },
};

// As in tests/fixtures/json-transform/src/transform.rs.
function summary({ orders }) {
  const paid = orders.filter((order) => order.status === "paid");
  const customers = {};
  let all = 0;
  for (const { customer, items } of paid) {
    const cents = items.reduce((sum, item) => sum + item.quantity * item.cents, 0);
    all += cents;
    customers[customer] = (customers[customer] ?? 0) + cents;
  }
  return { orders: paid.length, cents: all, customers };
}
