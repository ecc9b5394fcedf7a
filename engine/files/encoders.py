"""Encoders as JSON values and back."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..encoders import ENCODERS, Encoder
from .neuron_models import plain
from .values import decode_fields, decoder_of, typed_entry


def encode_encoder(encoder: Encoder) -> dict[str, Any]:
    """An Input's encoder as JSON values: its fields, and as "type" the name of its class."""
    values = {field.name: plain(getattr(encoder, field.name)) for field in dataclasses.fields(encoder)}  # type: ignore[arg-type]
    return {"type": type(encoder).__name__, **values}


def decode_encoder(value: Any) -> Encoder:
    """The encoder that `encode_encoder` wrote; ModelFileError or GraphError where a value is not what it must be."""
    kind, fields = typed_entry(value, ENCODERS.get, "encoder", lambda: tuple(ENCODERS), str)
    example = kind()
    decoders = {field.name: decoder_of(type(getattr(example, field.name))) for field in dataclasses.fields(kind)}
    encoder: Encoder = kind(**decode_fields(fields, decoders, kind.__name__))
    return encoder
