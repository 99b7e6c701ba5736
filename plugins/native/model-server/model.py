"""A text model by characters: counts what follows each context of up to ORDER characters.

It learns from the language reference that comes with Python, about half a million characters.
"""

import math
import random

ORDER = 6
# Weight of a shorter context where a longer one was never seen: "stupid backoff" of Brants et al.,
# Large Language Models in Machine Translation (2007).
BACKOFF = 0.4
# Where even a single character was never seen.
FLOOR = 1e-6


def corpus():
    """The text to learn from. Some small installations of Python come without it."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise SystemExit("model-server needs the module pydoc_data of Python's standard library")
    return "\n".join(topics[name] for name in sorted(topics))


class Model:
    """Complete once `train` has returned; then any number of threads may ask it."""

    def __init__(self):
        self.followers = {}
        self.totals = {}
        self.progress = 0.0
        self.bits_per_character = None

    def train(self, text):
        """Learns from nine tenths of `text` and is measured on the rest."""
        split = len(text) * 9 // 10
        known, unknown = text[:split], text[split:]
        for at in range(len(known)):
            character = known[at]
            for length in range(min(at, ORDER) + 1):
                counts = self.followers.setdefault(known[at - length : at], {})
                counts[character] = counts.get(character, 0) + 1
            if at % 10_000 == 0:
                self.progress = 0.9 * at / len(known)
        self.totals = {context: sum(c.values()) for context, c in self.followers.items()}
        self.bits_per_character = -self.log2_likelihood(unknown) / len(unknown)
        self.progress = 1.0

    def log2_likelihood(self, text):
        """The base-2 logarithm of how likely `text` is, from its own beginning."""
        return sum(
            math.log2(self.probability(text[max(0, at - ORDER) : at], text[at]))
            for at in range(len(text))
        )

    def probability(self, context, character):
        """How likely `character` is after `context`, approximately: the sum may differ from 1."""
        weight = 1.0
        while True:
            count = self.followers.get(context, {}).get(character)
            if count:
                return weight * count / self.totals[context]
            if not context:
                return FLOOR
            context, weight = context[1:], weight * BACKOFF

    def continued(self, prompt, length, temperature, seed):
        """`length` characters that may follow `prompt`; the same for the same arguments."""
        chance = random.Random(seed)
        text = prompt
        for _ in range(length):
            context = text[-ORDER:]
            while context not in self.followers:
                context = context[1:]
            counts = self.followers[context]
            if temperature == 0:
                text += max(counts, key=lambda c: (counts[c], c))
            else:
                # Relative to the largest, so that no temperature overflows.
                top = max(counts.values())
                weights = [(count / top) ** (1 / temperature) for count in counts.values()]
                text += chance.choices(list(counts), weights)[0]
        return text[len(prompt) :]
