"""What the Python servers share: the greeting, the JSON workload, and where to listen."""

import socket

GREETING = b"Hello from Samovar!\n"


def summary(body):
    """As in tests/fixtures/json-transform/src/transform.rs."""
    paid = [order for order in body["orders"] if order["status"] == "paid"]
    customers = {}
    for order in paid:
        cents = sum(item["quantity"] * item["cents"] for item in order["items"])
        customers[order["customer"]] = customers.get(order["customer"], 0) + cents
    return {"orders": len(paid), "cents": sum(customers.values()), "customers": customers}


def announce():
    """Picks a free port, says so on standard output, and returns it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    print(f"http://127.0.0.1:{port}", flush=True)
    return port
