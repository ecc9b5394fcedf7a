"""Whether an object has what a protocol names, as quickly as these few questions take."""

from __future__ import annotations

from typing import Any, Protocol


class StructuralCheck(type(Protocol)):  # type: ignore[misc] # the class of protocols has no public name
    """Class of protocols of which isinstance asks about many objects.

    Python 3.11 goes through all bases of a protocol at each question, which takes 20 microseconds; a network asks
    thousands of times. An object passes that has all that the protocol itself declares.
    """

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> None:
        super().__init__(name, bases, namespace, **options)
        own = [each for each in namespace if not each.startswith("_")]
        inherited = [each for base in bases for each in getattr(base, "_declared", None) or ()]
        cls._declared = [*inherited, *own] if Protocol in bases else None

    def __instancecheck__(cls, instance: object) -> bool:
        if cls._declared is None:  # a class that says that it follows the protocol: only its own objects are of it
            return bool(super().__instancecheck__(instance))
        # A class has what its objects have, and is none of them.
        if isinstance(instance, type):
            return False
        return all(getattr(instance, each, None) is not None for each in cls._declared)
