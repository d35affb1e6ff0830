"""
One target under libFuzzer: C{python -m tests.fuzz.worker TARGET [--plain] ...}, with
libFuzzer's own arguments behind.  L{tests.fuzz.__main__} starts it.

A process of its own: libFuzzer ends the one that it runs in.  Only C{twisted_mux} is
instrumented, so that the tests' own branches are no discoveries.
"""

from __future__ import annotations

import gc
import sys

import atheris

with atheris.instrument_imports(include=["twisted_mux"]):
    from tests.fuzz.targets import CANARY, targets

    # The wires are imported when somebody asks for them.
    targets()


def main() -> None:
    """
    Fuzz, until libFuzzer ends the process.
    """
    _, name, *arguments = sys.argv
    # What an input leaves behind goes in circles, but need not go at once.
    gc.freeze()
    gc.set_threshold(50_000)
    target = CANARY if name == CANARY.name else targets()[name]
    mutate = target.mutate
    plain = arguments[:1] == ["--plain"]
    options = {}
    if mutate is not None and not plain:

        def customMutator(data: bytes, most: int, seed: int) -> bytes:
            return mutate(data, most, seed, atheris.Mutate)

        options["custom_mutator"] = customMutator
    atheris.Setup([sys.argv[0], *arguments[plain:]], target.run, **options)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
