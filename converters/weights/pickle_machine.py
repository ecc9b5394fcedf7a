"""Run the opcodes of a pickle on plain values: nothing is imported, nothing of a file's choice is called.

`pickle.Unpickler` with a restricted `find_class` would not do: it hashes the keys of a file (nested tuples overflow the
C stack, chosen integers collide), sets attributes of whatever objects there are, and takes memory on the file's word.
Here `pickletools.genops` splits the pickle, which checks every length against the bytes that there are, and each
opcode is a few lines below. The number of steps is limited, and no step takes more memory than some constant, or what
its own bytes hold.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from typing import Any

from .pickle_values import Inert, Items, Named, Stateful
from .refusals import DamagedError, UnreadableError

MAXIMUM_BYTES = 2**24
"""Longest pickle that is read; each tensor takes about 150 bytes of it, its numbers lie elsewhere."""

MAXIMUM_STEPS = 2**20
"""Most opcodes; each tensor takes about fifty."""

NEWEST_PROTOCOL = 5

Names = Callable[[str, str], object]
Persistent = Callable[[object], object]


class Machine:
    """Reads pickles.

    Parameters
    ----------
    names : function
        Gives what stands for a function, class or constant, by its module and name; raises UnreadableError for others.
    persistent : function
        Gives what stands for an object that lies outside the pickle.
    """

    def __init__(self, names: Names, persistent: Persistent) -> None:
        self.names, self.persistent = names, persistent
        self.steps = 0

    def run(self, stream: io.BytesIO) -> object:
        """The value of the next pickle in a stream, which is then behind it.

        ValueError (DamagedError, UnreadableError) tells what is wrong with it. The limit of steps is that of
        all pickles that a machine runs.
        """
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, object] = {}
        for opcode, argument, _ in pickletools.genops(stream):
            self.spend(1)
            if opcode.name in _LITERALS:
                self.stack.append(argument)
            elif opcode.name in _ACTIONS:
                _ACTIONS[opcode.name](self, argument)
            elif opcode.name != "STOP":
                raise UnreadableError(f"uses the pickle opcode {opcode.name}, which is not read; {_PROTOCOL}")
        return self.top(1)[0]

    def spend(self, steps: int) -> None:
        """UnreadableError where a file takes too many."""
        self.steps += steps
        if self.steps > MAXIMUM_STEPS:
            raise UnreadableError(f"takes more than {MAXIMUM_STEPS} steps to unpickle; {_ALONE}")

    def items(self) -> list[Any]:
        """What was pushed since the last mark, taken off."""
        if not self.marked:
            raise DamagedError("a pickle goes back to a mark that it has not set")
        taken, self.stack = self.stack, self.marked.pop()
        return taken

    def last(self) -> Any:
        """The last value, left where it is."""
        if not self.stack:
            raise DamagedError("a pickle takes more than it has put")
        return self.stack[-1]

    def top(self, count: int) -> list[Any]:
        """The last few values, taken off."""
        if count > len(self.stack):
            raise DamagedError("a pickle takes more than it has put")
        taken = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return taken

    def called(self, function: object, arguments: object) -> None:
        """Push what stands for a call of a named function."""
        if not isinstance(function, Named) or not isinstance(arguments, tuple):
            raise DamagedError("a pickle calls what is no function")
        result = function.call(arguments)
        # What is made of a value that is there already is paid for, or a few bytes could make it again and again.
        if isinstance(result, (bytes, list, tuple)):
            self.spend(len(result) // 16)
        elif isinstance(result, Items):
            self.spend(len(result.pairs))
        self.stack.append(result)


_PROTOCOL = "save it again with PyTorch's own pickle protocol, 2"
_ALONE = "save the weights alone: torch.save(model.state_dict(), PATH)"

_LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
"""Opcodes that push their argument."""


def _check_protocol(_: Machine, version: int) -> None:
    if version > NEWEST_PROTOCOL:
        raise UnreadableError(f"is in pickle protocol {version}, which is not read; {_PROTOCOL}")


def _mark(machine: Machine, _: object) -> None:
    machine.marked.append(machine.stack)
    machine.stack = []


def _pop(machine: Machine, _: object) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.items()


def _pop_mark(machine: Machine, _: object) -> None:
    machine.items()


def _append(machine: Machine, values: list[Any]) -> None:
    target = machine.last()
    if isinstance(target, list):
        target.extend(values)
    elif not isinstance(target, Inert):
        raise DamagedError(f"a pickle appends to a {type(target).__name__}")


def _set_items(machine: Machine, values: list[Any]) -> None:
    target = machine.last()
    if isinstance(target, Items):
        target.pairs.extend(_pairs(values))
    elif not isinstance(target, Inert):
        raise DamagedError(f"a pickle sets items of a {type(target).__name__}")


def _pairs(values: list[Any]) -> list[tuple[Any, Any]]:
    return list(zip(values[::2], values[1::2], strict=True))


def _global(machine: Machine, argument: str) -> None:
    module, _, name = argument.partition(" ")
    machine.stack.append(machine.names(module, name))


def _stack_global(machine: Machine, _: object) -> None:
    module, name = machine.top(2)
    if not (isinstance(module, str) and isinstance(name, str)):
        raise DamagedError("a pickle names a function by what is no text")
    machine.stack.append(machine.names(module, name))


def _reduce(machine: Machine, _: object) -> None:
    machine.called(*machine.top(2))


def _new_with_keywords(machine: Machine, _: object) -> None:
    kind, arguments, _ = machine.top(3)
    machine.called(kind, arguments)


def _build(machine: Machine, _: object) -> None:
    state = machine.top(1)[0]
    target = machine.last()
    if isinstance(target, Stateful):
        target.set_state(state)
    elif isinstance(target, (Named, int, float, str, bytes, list, tuple)) or target is None:
        raise DamagedError(f"a pickle sets the state of a {type(target).__name__}")


def _put(machine: Machine, index: int) -> None:
    # Whoever writes pickles counts up. Other numbers would be a way to make a dictionary slow.
    if not 0 <= index <= machine.steps:
        raise DamagedError(f"a pickle numbers an object {index}")
    machine.memo[index] = machine.last()


def _get(machine: Machine, index: int) -> None:
    if index not in machine.memo:
        raise DamagedError("a pickle refers to an object that it has not numbered")
    machine.stack.append(machine.memo[index])


def _pushes(make: Callable[[Machine], object]) -> Callable[[Machine, Any], None]:
    """An action that pushes what a function makes of the machine."""

    def action(machine: Machine, _: object) -> None:
        value = make(machine)
        machine.stack.append(value)

    return action


_ACTIONS: dict[str, Callable[[Machine, Any], None]] = {
    "PROTO": _check_protocol,
    "FRAME": lambda *_: None,
    "MARK": _mark,
    "POP": _pop,
    "POP_MARK": _pop_mark,
    "DUP": _pushes(lambda machine: machine.last()),
    "NONE": _pushes(lambda _: None),
    "NEWTRUE": _pushes(lambda _: True),
    "NEWFALSE": _pushes(lambda _: False),
    "EMPTY_LIST": _pushes(lambda _: []),
    "EMPTY_SET": _pushes(lambda _: []),
    "EMPTY_TUPLE": _pushes(lambda _: ()),
    "EMPTY_DICT": _pushes(lambda _: Items()),
    "LIST": _pushes(lambda machine: machine.items()),
    "TUPLE": _pushes(lambda machine: tuple(machine.items())),
    "FROZENSET": _pushes(lambda machine: tuple(machine.items())),
    "DICT": _pushes(lambda machine: Items(_pairs(machine.items()))),
    "TUPLE1": _pushes(lambda machine: tuple(machine.top(1))),
    "TUPLE2": _pushes(lambda machine: tuple(machine.top(2))),
    "TUPLE3": _pushes(lambda machine: tuple(machine.top(3))),
    "APPEND": lambda machine, _: _append(machine, machine.top(1)),
    "APPENDS": lambda machine, _: _append(machine, machine.items()),
    "ADDITEMS": lambda machine, _: _append(machine, machine.items()),
    "SETITEM": lambda machine, _: _set_items(machine, machine.top(2)),
    "SETITEMS": lambda machine, _: _set_items(machine, machine.items()),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "NEWOBJ": _reduce,
    "NEWOBJ_EX": _new_with_keywords,
    "BUILD": _build,
    "BINPERSID": _pushes(lambda machine: machine.persistent(machine.top(1)[0])),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _put),
    "MEMOIZE": lambda machine, _: _put(machine, len(machine.memo)),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _get),
}
