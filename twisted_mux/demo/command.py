"""
The demo's command line: options in, table and exit code out.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import twisted
from twisted.internet.defer import Deferred
from twisted.internet.task import react

from twisted_mux.demo.files import findFiles
from twisted_mux.demo.report import asJSON, asTable, complaints, progressOn
from twisted_mux.demo.run import Demo
from twisted_mux.wire import wireNames

__all__ = ["DESCRIPTION", "SUMMARY", "Options", "addArguments", "main", "optionsFrom"]

SUMMARY = "serve a folder and fetch it over one connection, per wire"
DESCRIPTION = (
    "Serves a folder with a twisted.web Site, fetches every file in it with a "
    "twisted.web Agent, many at a time over one TCP connection, and checks each "
    "file's SHA-256 against the disk; once for each wire protocol."
)

# What a shell reports for a program that SIGINT ended.
INTERRUPTED = 130


@dataclass(frozen=True)
class Options:
    """
    What the demo was asked for.

    @ivar path: the folder to serve.
    @ivar wires: the names of the wires; each gets a run.
    @ivar streams: how many files are fetched at the same time.
    @ivar json: print JSON and nothing else.
    """

    path: Path
    wires: tuple[str, ...]
    streams: int
    json: bool = False


def addArguments(parser: argparse.ArgumentParser) -> None:
    """
    Declare the demo's options.
    """
    parser.add_argument(
        "--path",
        type=Path,
        default=Path(twisted.__file__).parent,
        help="the folder to serve (default: the installed Twisted)",
    )
    parser.add_argument(
        "--wire",
        action="append",
        metavar="NAME",
        help=f"a wire protocol: {', '.join(wireNames())}; may be given several times "
        "(default: each of them)",
    )
    parser.add_argument(
        "--streams",
        default="100",
        metavar="N",
        help="how many files to fetch at the same time (default: %(default)s)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the results as JSON, nothing else"
    )


def optionsFrom(arguments: argparse.Namespace) -> Options:
    """
    Check the values of L{addArguments}' options.

    @raise ValueError: with a message for the user.
    """
    names = wireNames()
    wires = tuple(dict.fromkeys(arguments.wire or names))
    for wire in wires:
        if wire not in names:
            raise ValueError(f"unknown wire {wire!r}: it is one of {', '.join(names)}")
    streams = arguments.streams
    if not (streams.isascii() and streams.isdecimal() and int(streams) > 0):
        raise ValueError(f"--streams must be a positive integer, not {streams!r}")
    path = arguments.path
    if not path.is_dir():
        raise ValueError(f"{path}: no such folder")
    if next(findFiles(path), None) is None:
        raise ValueError(f"{path}: no file in it that could be served")
    return Options(path, wires, int(streams), arguments.json)


def main(options: Options) -> int:
    """
    Run the demo in the reactor and print what came of it: the results on the
    standard output stream, the first failures on the standard error stream.

    @return: the exit code: 0 if every file arrived as it is on the disk, over one
        connection per wire; 1 if not; 130 if the user has interrupted it.
    """
    with progressOn(sys.stdout, quiet=options.json) as report:
        demo = Demo(options.path, options.wires, options.streams, report)
        try:
            react(lambda reactor: Deferred.fromCoroutine(demo.run(reactor)))
        except SystemExit as end:
            broken = bool(end.code)
        except KeyboardInterrupt:
            # Before the reactor minded the signal.
            return INTERRUPTED
    if demo.interrupted:
        return INTERRUPTED
    if broken:
        return 1
    show = asJSON if options.json else asTable
    print(show(options.path, demo.results))
    for line in complaints(demo.results):
        print(line, file=sys.stderr)
    return 0 if all(result.ok for result in demo.results) else 1
