"""As many replicas as the waiting requests need: a scaling policy in Python.

The tool looks for the interface's functions in a class `Scaling` and for its resource in a module
`scaling`, hence the name of this file.
"""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import scaling
from wit_world.exports.scaling import Decision, Description, Observation, Wish_Replicas


class Scaling(exports.Scaling):
    def describe(self) -> Description:
        return Description("queue-depth-python", "0.1.0", config_schema="", needs_replicas=False)


class Scaler(scaling.Scaler):
    def __init__(self, waiting_per_replica: float) -> None:
        self.waiting_per_replica = waiting_per_replica

    @classmethod
    def create(cls, config: str) -> "Scaler":
        settings = json.loads(config or "{}")
        waiting = settings.pop("waiting_per_replica", None)
        if settings:
            raise Err(f"unknown field `{min(settings)}`, expected `waiting_per_replica`")
        if not isinstance(waiting, (int, float)) or not waiting > 0:
            raise Err("`waiting_per_replica` must be a number above 0")
        return cls(waiting)

    def scale(self, seen: Observation) -> Decision:
        waiting = seen.queued / self.waiting_per_replica
        busy = seen.ongoing / seen.limits.concurrency
        return Decision(Wish_Replicas(busy + waiting), [], None, f"{seen.queued} wait")
