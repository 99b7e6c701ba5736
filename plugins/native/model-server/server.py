"""Serves a text model over HTTP. It listens at once and is healthy when the model is loaded."""

import os
import sys
import threading
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))

from json_server import Refused, say, start, wait_for_signal
from model import Model, corpus

PROMPT_CHARACTERS_MAX = 10_000
LENGTH_MAX = 2_000

model = Model()


def load():
    started = time.monotonic()
    try:
        model.train(corpus())
    except BaseException as error:  # Without a model there is nothing to live for.
        say(f"cannot load the model: {error!r}")
        os._exit(1)
    say(f"model loaded in {time.monotonic() - started:.1f} s: {len(model.totals)} contexts")


def health():
    if model.progress < 1:
        return 503, {"status": "loading", "progress": round(model.progress, 2)}
    return 200, {"status": "ok", "bits_per_character": round(model.bits_per_character, 3)}


def predict(request):
    if model.progress < 1:
        raise Refused(503, "the model is still loading")
    prompt = field(request, "prompt", str, None)
    if not prompt or len(prompt) > PROMPT_CHARACTERS_MAX:
        raise Refused(422, f"prompt must have 1 to {PROMPT_CHARACTERS_MAX} characters")
    length = bounded(request, "length", int, 80, LENGTH_MAX)
    temperature = bounded(request, "temperature", (int, float), 0.7, 2)
    seed = field(request, "seed", int, 0)
    if request:
        raise Refused(422, f"unknown field: {sorted(request)[0]}")
    return 200, {
        "text": model.continued(prompt, length, temperature, seed),
        "prompt_log2_likelihood": round(model.log2_likelihood(prompt), 3),
    }


def field(request, name, kind, default):
    """Takes a field out of the request. A bool is no number here, although Python says so."""
    value = request.pop(name, default)
    if not isinstance(value, kind) or isinstance(value, bool):
        wanted = {str: "text", int: "a whole number"}.get(kind, "a number")
        raise Refused(422, f"{name} must be {wanted}")
    return value


def bounded(request, name, kind, default, maximum):
    value = field(request, name, kind, default)
    # Comparisons with NaN are false.
    if not 0 <= value <= maximum:
        raise Refused(422, f"{name} must be between 0 and {maximum}")
    return value


def main():
    server = start({("POST", "/predict"): predict, ("GET", "/health"): health})
    threading.Thread(target=load, daemon=True).start()
    wait_for_signal()
    server.finish()


if __name__ == "__main__":
    main()
