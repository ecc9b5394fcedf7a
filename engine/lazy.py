"""What is worked out once: properties of an object, and what is known of objects for as long as they live."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .threads import LOCK

__all__ = ["KnownOf", "forget_known", "lazy_property"]

Owner = TypeVar("Owner")
Found = TypeVar("Found")

if TYPE_CHECKING:
    from functools import cached_property as lazy_property
else:

    class lazy_property:  # noqa: N801 - stands where functions are called so: @property
        """`functools.cached_property` without a lock, which Python 3.11 holds while it works a property out.

        A process that is forked meanwhile would wait for it for ever, and so would threads for each other. Two threads
        may work the same out, then; both get what the first one has found.
        """

        def __init__(self, function: Callable[[Any], Any]) -> None:
            self._function = function
            self.__doc__ = function.__doc__

        def __set_name__(self, owner: type, name: str) -> None:
            self._name = name

        def __get__(self, instance: Any, owner: type | None = None) -> Any:
            if instance is None:
                return self
            return instance.__dict__.setdefault(self._name, self._function(instance))


class KnownOf(Generic[Owner, Found]):
    """What has been worked out of objects, for all threads, until the objects are no more.

    What is worked out must not refer to the object, or both would live for ever. `forget_known` forgets it.

    Parameters
    ----------
    most : int, optional
        Of one object, only so much is kept, what was asked for last; by default all.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        _ALL.add(self)
        self._found: weakref.WeakKeyDictionary[Owner, dict[Hashable, Found]] = weakref.WeakKeyDictionary()

    def get(self, owner: Owner, key: Hashable, work_out: Callable[[], Found]) -> Found:
        """What is known of `owner` under a key, worked out where nothing is."""
        with LOCK:
            versions = self._found.setdefault(owner, {})
            if key in versions:
                versions[key] = found = versions.pop(key)
                return found
        found = work_out()
        with LOCK:
            versions = self._found.setdefault(owner, {})
            found = versions.setdefault(key, found)
            for oldest in list(versions)[: -self._most] if self._most else ():
                del versions[oldest]
        return found

    def clear(self) -> None:
        """Forget everything."""
        with LOCK:
            self._found.clear()


_ALL: weakref.WeakSet[KnownOf[Any, Any]] = weakref.WeakSet()


def forget_known() -> None:
    """Forget what is known of all objects."""
    for known in list(_ALL):
        known.clear()
