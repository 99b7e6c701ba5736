"""The workloads of `bench compare` for Ray Serve: one HTTP proxy, a replica for each core.

usage: python ray_serve.py FOLDER     FOLDER is for Ray's own files and must have a short name
"""

import os
import signal
import sys

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from summary import GREETING, announce, summary

CORES = os.cpu_count()


# Ray pickles the class by value, and what it uses of another file by name.
@serve.deployment(num_replicas=CORES, max_ongoing_requests=100)
class Workloads:
    async def __call__(self, request: Request):
        match request.url.path:
            case "/echo":
                return Response(await request.body())
            case "/json":
                return JSONResponse(summary(await request.json()))
            case _:
                return Response(GREETING, media_type="text/plain")


def main():
    port = announce()
    ray.init(
        num_cpus=CORES,
        include_dashboard=False,
        object_store_memory=128 * 1024 * 1024,
        runtime_env={"env_vars": {"PYTHONPATH": os.path.dirname(os.path.abspath(__file__))}},
        _node_ip_address="127.0.0.1",
        _temp_dir=sys.argv[1],
    )
    serve.start(http_options={"host": "127.0.0.1", "port": port, "access_log": False})
    serve.run(Workloads.bind(), logging_config={"enable_access_log": False, "log_level": "ERROR"})
    signal.sigwait([signal.SIGTERM, signal.SIGINT])
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])
    main()
