"""
C{python -m twisted_mux COMMAND}.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from twisted_mux.compiling import versionAndBuild
from twisted_mux.demo import command as demo

__all__ = ["main"]


class _Parser(argparse.ArgumentParser):
    """
    An argument parser whose complaint is one line.
    """

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run one command.

    @param argv: the arguments, without the program's name; by default those of
        the process.
    @return: the process's exit code.
    @raise SystemExit: with code 2 after one line on the standard error stream,
        because the arguments make no sense; with 0 after C{--help}.
    """
    parser = _Parser(
        prog="twisted_mux",
        description="Many streams over one Twisted connection.",
    )
    parser.add_argument("--version", action="version", version=versionAndBuild())
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    demoParser = commands.add_parser(
        "demo", help=demo.SUMMARY, description=demo.DESCRIPTION
    )
    demo.addArguments(demoParser)
    arguments = parser.parse_args(argv)
    try:
        options = demo.optionsFrom(arguments)
    except ValueError as error:
        demoParser.error(str(error))
    return demo.main(options)


if __name__ == "__main__":
    sys.exit(main())
