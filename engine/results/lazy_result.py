"""A result whose ledger is worked out when it is first asked for, which takes longer than to run small networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..operations import Operations
from .result import Result


class LazyResult(Result):
    """A `Result`; what `ledger` returns is its `operations`.

    Parameters
    ----------
    ledger : function, or None where `operations` is given
        It must not refer to the network, or an unread result would keep that alive.
    **others
        As of `Result`.
    """

    def __init__(
        self, *, ledger: Callable[[], Operations] | None = None, operations: Operations | None = None, **others: Any
    ) -> None:
        self._ledger = ledger
        self._operations: Operations | None = None
        super().__init__(operations=operations, **others)  # type: ignore[arg-type]

    @property
    def operations(self) -> Operations:
        """Exact counts by node, step and threshold."""
        ledger = self._ledger
        if ledger is not None:
            # In this order: another thread that finds no ledger any more finds what came of it.
            self._operations = ledger()
            self._ledger = None
        assert self._operations is not None
        return self._operations

    @operations.setter
    def operations(self, operations: Operations | None) -> None:
        self._operations = operations

    def __getstate__(self) -> dict[str, Any]:
        """For a copy, or another process, which gets the ledger."""
        return {**self.__dict__, "_operations": self.operations, "_ledger": None}


def joined_ledger(results: Sequence[Result]) -> Callable[[], Operations]:
    """What works out the ledger of a batch; it keeps no more of the results than they need for theirs."""
    ledgers = [_ledger_of(result) for result in results]

    def joined() -> Operations:
        first, *others = (ledger() for ledger in ledgers)
        return sum(others, first)

    return joined


def _ledger_of(result: Result) -> Callable[[], Operations]:
    ledger: Callable[[], Operations] | None = getattr(result, "_ledger", None)
    if ledger is not None:
        return ledger
    operations = result.operations
    return lambda: operations
