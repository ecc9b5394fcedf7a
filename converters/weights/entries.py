"""Which of the mappings in a checkpoint holds the weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from spikeunet.engine.errors import StateDictError, first_few

from .pickle_values import Inert, Items

AVERAGED = ("params_ema", "state_dict_ema", "ema_state_dict", "model_ema", "ema")
"""Names of averaged weights: who trains with an average means to use it."""

PLAIN = ("state_dict", "model_state_dict", "model", "net", "network", "params", "weights", "module")
LEFT_OUT = ("optim", "sched", "scaler")
"""Parts of names of what is never a network's weights."""

MAXIMUM_DEPTH = 4

IsArray = Callable[[object], bool]


@dataclass(frozen=True)
class Entry:
    """A mapping of a checkpoint.

    Attributes
    ----------
    name : str
        Names on the way to it, joined by points; "" for what the file holds itself.
    content : dict
    """

    name: str
    content: dict[str, object]


def mapping(value: object) -> dict[str, object] | None:
    """What a mapping holds under names; None for everything else."""
    if isinstance(value, Items):
        return value.by_name()
    if isinstance(value, Mapping):
        return {key: item for key, item in value.items() if isinstance(key, str)}
    return None


def choose(root: object, wanted: str | None, *kinds: IsArray) -> tuple[Entry, list[str]]:
    """The mapping that holds the weights, and the names of the others that could be meant.

    Parameters
    ----------
    root : object
    wanted : str, optional
        Name of the entry; where none is given, the averaged weights are taken before the plain ones, a known name
        before the file's own arrays, and these before an entry of any other name if it is the only one.
    *kinds : functions
        Whether a value is an array that makes a mapping one of weights; a second counts where the first finds none.

    Raises
    ------
    StateDictError
        If there is none, it cannot be told which, or the one that is wanted is not there.
    """
    candidates = next((found for kind in kinds if (found := _candidates(root, kind))), [])
    names = [entry.name for entry in candidates]
    if wanted is not None:
        return _wanted(candidates, wanted)
    if not candidates:
        raise StateDictError(f"holds no weights but {_description(root)}; save model.state_dict()")
    known = sorted((_rank(entry.name), place) for place, entry in enumerate(candidates))
    (rank, first), runners_up = known[0], known[1:]
    if rank == _OTHER and runners_up:
        raise StateDictError(f"holds several state dicts: {first_few(names)}; say which (--entry NAME, entry=)")
    chosen = candidates[first]
    return chosen, [entry.name for entry in candidates if entry is not chosen]


_OTHER = len(AVERAGED) + len(PLAIN) + 1


def _rank(name: str) -> int:
    """Place of a candidate in the order in which they are taken."""
    last = name.rpartition(".")[2]
    ranked = (*AVERAGED, *PLAIN, "")
    # An entry within one of the averages is an average.
    within = [AVERAGED.index(part) for part in name.split(".") if part in AVERAGED]
    return within[0] if within else ranked.index(last) if last in ranked else _OTHER


def _wanted(candidates: list[Entry], wanted: str) -> tuple[Entry, list[str]]:
    if not isinstance(wanted, str):
        raise StateDictError(f"has entries by name (got {type(wanted).__name__}); pass a str")
    found = [entry for entry in candidates if entry.name == wanted] or [
        entry for entry in candidates if entry.name.rpartition(".")[2] == wanted
    ]
    if len(found) != 1:
        names = [entry.name for entry in candidates if entry.name]
        there = f"it has {first_few(names)}" if names else "it holds its arrays without entries; leave it out"
        raise StateDictError(f"has no single entry {wanted[:100]!r} of weights; {there}")
    return found[0], [entry.name for entry in candidates if entry is not found[0]]


def _candidates(root: object, is_weight: IsArray) -> list[Entry]:
    """Mappings with a weight, breadth first; each once, however often and deep a file refers to it."""
    found: list[Entry] = []
    seen: set[int] = set()
    level = [("", root)]
    for _ in range(MAXIMUM_DEPTH):
        deeper: list[tuple[str, object]] = []
        for name, value in level:
            content = None if id(value) in seen else mapping(value)
            if content is None:
                continue
            seen.add(id(value))
            if any(map(is_weight, content.values())):
                found.append(Entry(name, content))
            deeper += [(f"{name}.{key}" if name else key, item) for key, item in content.items() if _may_hold(key)]
        level = deeper
    return found


def _may_hold(key: str) -> bool:
    return len(key) <= 100 and not any(part in key.lower() for part in LEFT_OUT)


def _description(root: object) -> str:
    content = mapping(root)
    if content is None:
        return f"one {root.name if isinstance(root, Inert) else type(root).__name__.lower()}"
    return f"a dictionary of {first_few(content)}" if content else "an empty dictionary"
