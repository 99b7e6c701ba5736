"""A gang of processes that compute together with torch.distributed.

Every rank runs this file with RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT set. Rank 0
serves HTTP and tells the others what to do; a round that nobody asked for shows now and then that
all are there. A rank that vanishes or hangs ends the gang: each of the others says so and exits.
"""

import hashlib
import os
import re
import signal
import socket
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))

from json_server import Refused, say, start, wait_for_signal

try:
    import torch
    import torch.distributed as dist
except ImportError as error:
    raise SystemExit(f"torch-gang needs PyTorch (pip install torch): {error}")

VALUES_MAX = 100_000
# How long to wait for all ranks at the start.
JOIN_S = float(os.environ.get("GANG_JOIN_SECONDS", "120"))
# How long one round may take before the gang counts as broken.
ROUND_S = float(os.environ.get("GANG_ROUND_SECONDS", "20"))
# Time between rounds that only show that all are there.
BEAT_S = 2.0
# How long after SIGTERM a rank waits for the word of rank 0.
FAREWELL_S = 8.0

STOP, REDUCE = 0, 1


def environment(name):
    try:
        return int(os.environ[name])
    except (KeyError, ValueError):
        raise SystemExit(f"torch-gang: {name} is not set to a number; start it as a gang") from None


class Gang:
    """All ranks, seen from one of them. Commands go over gloo, values over nccl if there is."""

    def __init__(self):
        self.rank, self.size = environment("RANK"), environment("WORLD_SIZE")
        self.is_ready = False
        self.is_stopping = False
        self.device = torch.device("cpu")
        self.backend = "gloo"
        self.values_group = None
        # Rounds of rank 0 come one after the other.
        self.turn = threading.Lock()

    def join(self):
        """Meets the other ranks and agrees with them on what to compute on."""
        for name in ("MASTER_ADDR", "MASTER_PORT"):
            if name not in os.environ:
                raise SystemExit(f"torch-gang: {name} is not set; start it as a gang")
        say(f"rank {self.rank} of {self.size}: waiting for the others")
        dist.init_process_group("gloo", timeout=timedelta(seconds=JOIN_S))
        # The start may take longer than a round, so rounds have a group of their own.
        patience = timedelta(seconds=ROUND_S)
        self.control = dist.new_group(backend="gloo", timeout=patience)
        if self.all_have_a_gpu():
            self.device = torch.device("cuda", torch.cuda.current_device())
            self.backend = "nccl"
        self.values_group = dist.new_group(backend=self.backend, timeout=patience)
        self.is_ready = True
        say(f"rank {self.rank} of {self.size}: joined, {self.backend} on {self.device}")

    def all_have_a_gpu(self):
        """Whether each rank has a GPU of its own. Two ranks on one cannot use nccl."""
        mine = -1
        if torch.cuda.is_available() and dist.is_nccl_available():
            torch.cuda.set_device(environment("LOCAL_RANK") % torch.cuda.device_count())
            properties = torch.cuda.get_device_properties(torch.cuda.current_device())
            name = f"{socket.gethostname()} {getattr(properties, 'uuid', self.rank)}"
            mine = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big")
        all_of_them = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        dist.all_gather(all_of_them, torch.tensor([mine]), group=self.control)
        names = {int(name) for name in all_of_them}
        return len(names) == self.size and -1 not in names

    def reduce(self, values):
        """Rank 0: lets all ranks add up (rank + 1) times `values`."""
        with self.turn:
            self.tell(REDUCE, len(values))
            return self.add_up(torch.tensor(values, dtype=torch.float64))

    def tell(self, command, length):
        dist.broadcast(torch.tensor([command, length]), src=0, group=self.control)

    def add_up(self, values):
        dist.broadcast(values, src=0, group=self.control)
        part = (values * (self.rank + 1)).to(self.device)
        dist.all_reduce(part, op=dist.ReduceOp.SUM, group=self.values_group)
        return part.tolist()

    def follow(self):
        """The other ranks: carry out what rank 0 says until it says stop."""
        command = torch.zeros(2, dtype=torch.int64)
        while True:
            dist.broadcast(command, src=0, group=self.control)
            kind, length = command.tolist()
            if kind == STOP:
                return
            self.add_up(torch.zeros(length, dtype=torch.float64))

    def beat(self):
        """Rank 0: finds out that a rank is gone although nobody asks."""
        while not self.is_stopping:
            time.sleep(BEAT_S)
            try:
                self.reduce([0.0])
            except RuntimeError as error:
                self.broken(error)

    def broken(self, error):
        """Ends this process: a process group that has failed cannot be used again."""
        # Requests that failed with it get their answers first.
        time.sleep(0.5)
        # Torch's threads may still wait for the one that is gone, so nobody waits for them.
        if self.is_stopping:
            say(f"rank {self.rank} of {self.size}: the gang has ended")
            os._exit(0)
        say(
            f"rank {self.rank} of {self.size}: the gang is broken, a member is gone or hangs: "
            f"{first_words(error)}"
        )
        os._exit(1)


def first_words(error):
    """What torch says without the place in its source and its advice."""
    line = (str(error).strip() or repr(error)).splitlines()[0]
    return re.sub(r"^\[[^]]*\] ", "", line).split(". ")[0][:300]


def lead(gang):
    """Rank 0."""

    def health():
        if not gang.is_ready:
            return 503, {"status": f"waiting for {gang.size} ranks"}
        return 200, {"status": "ok", "world_size": gang.size, "backend": gang.backend}

    def all_reduce(request):
        if not gang.is_ready:
            raise Refused(503, "the ranks have not met yet")
        values = request.get("values")
        if not isinstance(values, list) or not 0 < len(values) <= VALUES_MAX:
            raise Refused(422, f"values must be a list of 1 to {VALUES_MAX} numbers")
        if not all(is_number(value) for value in values):
            raise Refused(422, "values must be finite numbers")
        try:
            total = gang.reduce(values)
        except RuntimeError as error:
            threading.Thread(target=gang.broken, args=(error,)).start()
            raise Refused(500, "the gang is broken: a member is gone or hangs") from None
        return 200, {
            "sum": total,
            "world_size": gang.size,
            "backend": gang.backend,
            "device": str(gang.device),
        }

    server = start({("POST", "/allreduce"): all_reduce, ("GET", "/health"): health})

    def work():
        try:
            gang.join()
        except BaseException as error:
            gang.broken(error)
        gang.beat()

    threading.Thread(target=work, daemon=True).start()
    wait_for_signal()
    server.finish()
    gang.is_stopping = True
    if gang.is_ready:
        try:
            with gang.turn:
                gang.tell(STOP, 0)
        except RuntimeError as error:
            gang.broken(error)
    say("the gang has ended")
    os._exit(0)


def is_number(value):
    is_any = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_any and abs(value) <= sys.float_info.max / 1e6


def serve_along(gang):
    """Every other rank. At SIGTERM it goes on until rank 0 has finished its requests."""

    def farewell(*_):
        gang.is_stopping = True
        leave = threading.Timer(FAREWELL_S, os._exit, [0])
        leave.daemon = True
        leave.start()

    def work():
        try:
            gang.join()
            gang.follow()
        except BaseException as error:
            gang.broken(error)
        say(f"rank {gang.rank} of {gang.size}: told to stop")
        os._exit(0)

    # In a thread of its own, because a handler of signals waits for torch in the main thread.
    threading.Thread(target=work, daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, farewell)
    while True:
        signal.pause()


def main():
    gang = Gang()
    if gang.rank == 0:
        lead(gang)
    else:
        serve_along(gang)


if __name__ == "__main__":
    main()
