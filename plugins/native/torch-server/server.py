"""Serves a small network with PyTorch: on a GPU when the process has one, else on the CPU."""

import math
import os
import sys
import threading
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))

from json_server import Refused, say, start, wait_for_signal

try:
    import torch
except ImportError as error:
    raise SystemExit(f"torch-server needs PyTorch (pip install torch): {error}")

POINTS_MAX = 10_000
COORDINATE_MAX = 1e6
STEPS = 400
POINTS_PER_SPIRAL = 400


def spirals(generator):
    """Points of two spirals that are wound around each other, and which spiral each is on."""
    angle = torch.rand(POINTS_PER_SPIRAL, generator=generator).sqrt() * 3 * math.pi
    arm = torch.stack([angle.cos() * angle, angle.sin() * angle], dim=1) / (3 * math.pi)
    noise = torch.randn(2 * POINTS_PER_SPIRAL, 2, generator=generator) * 0.01
    points = torch.cat([arm, -arm]) + noise
    return points, torch.arange(2).repeat_interleave(POINTS_PER_SPIRAL)


class Model:
    """A network that tells on which of two spirals a point lies. Loading it is training it."""

    def __init__(self):
        self.device = None
        self.network = None
        self.accuracy = None
        # One at a time: requests in many threads would only wait for each other on the device.
        self.turn = threading.Lock()

    def load(self):
        # The first CUDA call in a process takes seconds, so it belongs to loading.
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(0)
        generator = torch.Generator().manual_seed(0)
        points, labels = (part.to(self.device) for part in spirals(generator))
        network = torch.nn.Sequential(
            torch.nn.Linear(2, 64),
            torch.nn.Tanh(),
            torch.nn.Linear(64, 64),
            torch.nn.Tanh(),
            torch.nn.Linear(64, 2),
        ).to(self.device)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        for _ in range(STEPS):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(points), labels).backward()
            optimizer.step()
        with torch.inference_mode():
            points, labels = (part.to(self.device) for part in spirals(generator))
            right = network(points).argmax(dim=1) == labels
            self.accuracy = right.float().mean().item()
        self.network = network.eval()

    def infer(self, points):
        with self.turn, torch.inference_mode():
            tensor = torch.tensor(points, dtype=torch.float32, device=self.device)
            return self.network(tensor).softmax(dim=1)[:, 1].tolist()

    def where(self):
        """What the process computes on, and what it was given."""
        is_gpu = self.device.type == "cuda"
        return {
            "device": str(self.device),
            "device_name": torch.cuda.get_device_name(self.device) if is_gpu else None,
            "devices_seen": torch.cuda.device_count(),
            "cuda_visible_devices": os.environ.get("CUDA_VISIBLE_DEVICES"),
        }


model = Model()


def load():
    started = time.monotonic()
    try:
        model.load()
    except BaseException as error:  # A GPU that is lost or full, for example.
        say(f"cannot load the network: {error!r}")
        os._exit(1)
    took = time.monotonic() - started
    say(f"network loaded on {model.device} in {took:.1f} s, {model.accuracy:.1%} right")


def health():
    if model.network is None:
        return 503, {"status": "loading"}
    return 200, {"status": "ok", "accuracy": round(model.accuracy, 4), **model.where()}


def infer(request):
    if model.network is None:
        raise Refused(503, "the network is still loading")
    points = request.get("points")
    if not isinstance(points, list) or not 0 < len(points) <= POINTS_MAX:
        raise Refused(422, f"points must be a list of 1 to {POINTS_MAX} pairs")
    for index, point in enumerate(points):
        if not isinstance(point, list) or len(point) != 2 or not all(map(is_coordinate, point)):
            wanted = f"two numbers between -{COORDINATE_MAX:g} and {COORDINATE_MAX:g}"
            raise Refused(422, f"points[{index}] must be {wanted}")
    probabilities = model.infer(points)
    return 200, {
        "spirals": [int(probability > 0.5) for probability in probabilities],
        "probabilities": [round(probability, 6) for probability in probabilities],
        **model.where(),
    }


def is_coordinate(value):
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and -COORDINATE_MAX <= value <= COORDINATE_MAX


def main():
    server = start({("POST", "/infer"): infer, ("GET", "/health"): health})
    threading.Thread(target=load, daemon=True).start()
    wait_for_signal()
    server.finish()


if __name__ == "__main__":
    main()
