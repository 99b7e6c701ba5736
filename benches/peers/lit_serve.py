"""The workloads of `bench compare` for LitServe: a worker for each core.

LitServe takes only POST with JSON, so hello is one with an empty object.
"""

import os

import litserve
from starlette.responses import JSONResponse, Response

from summary import GREETING, announce, summary


class Workloads(litserve.LitAPI):
    def setup(self, device):
        pass

    def decode_request(self, request):
        return request

    def predict(self, body):
        return summary(body) if body else None

    def encode_response(self, answer):
        if answer is None:
            return Response(GREETING, media_type="text/plain")
        return JSONResponse(answer)


if __name__ == "__main__":
    server = litserve.LitServer(
        Workloads(), accelerator="cpu", workers_per_device=os.cpu_count(), timeout=60
    )
    server.run(
        host="127.0.0.1", port=announce(), log_level="error", generate_client_file=False
    )
