"""
Long runs, for the night: what the tests do in seconds, for as long as one likes, and
different each time.

Run it: C{python -m tests.soak [engines|sockets] [--minutes N]}.  Without a name all
soaks run, one after the other, for N minutes each.  The exit status is 0 only if
nothing was found; what was found is printed in full, with the way to repeat it.

A soak is a module of this package with two functions:

  - C{addArguments(parser)} adds the options that only it has;
  - C{run(options)} runs for C{options.minutes} minutes, on C{options.wires}, prints
    what it did and what it found, and returns whether that is nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from twisted_mux.wire import wireNames

#: Each soak: the name of its module here, and what it is.
SOAKS = {
    "engines": "two engines, joined by a pipe that cuts, delays and coalesces bytes",
    "sockets": "two processes, real sockets and faults on all wires",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the soaks that were asked for.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("soak", nargs="?", choices=SOAKS, help="default: all")
    parser.add_argument("--minutes", type=float, default=10, help="for each soak")
    parser.add_argument(
        "--wire",
        dest="wires",
        action="append",
        choices=wireNames(),
        help="default: all; may be given several times",
    )
    modules = {name: import_module(f"tests.soak.{name}") for name in SOAKS}
    for name, module in modules.items():
        module.addArguments(parser.add_argument_group(name, SOAKS[name]))
    options = parser.parse_args(arguments)
    options.wires = options.wires or list(wireNames())
    failed = []
    for name in [options.soak] if options.soak else list(SOAKS):
        print(f"=== {name}: {SOAKS[name]}; {options.minutes:g} minutes", flush=True)
        if not modules[name].run(options):
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "nothing was found", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
