"""
Same string, same reactor: same carriers.

Programs parse the same string in several places, each time they need a connection
if they like, and the carriers are to be shared all the same; also between those who
listen and those who connect.  So there is one register, by reactor, then by what a
string says about its carriers.

It holds nothing alive: neither a reactor, nor carriers whose endpoints are all
gone.  It need not, since carriers that are in use are kept by their reactor, by way
of their ports, connections and delayed calls.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary, WeakValueDictionary

from twisted_mux.carriers import Carriers

__all__ = ["Source", "sharedSource"]

C = TypeVar("C", bound=Carriers)

_register: WeakKeyDictionary[Any, WeakValueDictionary[Hashable, Carriers]] = (
    WeakKeyDictionary()
)


class Source(Generic[C]):
    """
    Where endpoints get their carriers: the same for all that have this source.
    """

    def __init__(
        self,
        make: Callable[[], C],
        shelf: WeakValueDictionary[Hashable, Carriers] | None = None,
        key: Hashable = None,
    ) -> None:
        """
        @param make: makes carriers, or rather what will make them.
        @param shelf: where others look for the same, under C{key}.
        """
        self._make = make
        self._shelf = WeakValueDictionary() if shelf is None else shelf
        self._key = key
        self._current: Any = None

    def current(self) -> C:
        """
        The carriers in use, made now if there are none.
        """
        found: Any = self._shelf.get(self._key)
        if found is None:
            return self.fresh()
        self._current = found
        return self._current  # type: ignore[no-any-return]

    def fresh(self) -> C:
        """
        New carriers, which are those in use from now on.
        """
        made = self._make()
        self._shelf[self._key] = made
        self._current = made
        return made


def sharedSource(reactor: Any, key: Hashable, make: Callable[[], C]) -> Source[C]:
    """
    The source for everybody who says C{key} about the same reactor.
    """
    shelf = _register.setdefault(reactor, WeakValueDictionary())
    return Source(make, shelf, key)
