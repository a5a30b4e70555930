"""The journal's header: what the numbers in its records stand for.

It is written at the start of every segment, and again whenever it changes; every batch binds the
digest of the header that it was recorded under into the chain.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from headrace.core.columns import CATEGORICAL, Kind
from headrace.core.errors import JournalError
from headrace.events.schema import Field, Schema
from headrace.journal.record_tables import RecordLayout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.definitions.plan import Plan

#: Domain of a header's digest.
HEADER_DOMAIN = b"headrace/header/v1\0"


@dataclass(frozen=True, slots=True)
class StreamHeader:
    """A stream or table by name, with the schema that its events are recorded in."""

    name: str
    schema: Schema


@dataclass(frozen=True)
class JournalHeader:
    """Names and digests that hold for the batches after it.

    Attributes:
        use_case: Name of the use case.
        lane: Name of the lane that this journal is the log of.
        definition: Digest of the plan, hexadecimal.
        model: Digest of the model, hexadecimal; "" for none.
        policy: Digest of the policy, hexadecimal.
        engine: Version of Headrace that decided.
        streams: Streams by rank, then tables.
        on: Name of the stream that is decided.
        features: Names of the features, in the order of `Decisions.features`.
        categories: Names of the features whose numbers are codes, to what they are codes of: "text"
            (`JournalBatch.categories` has the texts), "country" or "currency" (letters as digits of
            base 26).
        outcomes: Names of the outcomes, in the order of `Decisions.outcome`.
        rules: Names of the policy's rules, in order.
        reasons: Names of the quarantine reasons: code `i` is `reasons[i]`.
        sources: Names of the sources: source `i` is `sources[i]`.
        forms: Of sources whose events do not come as JSON, what they come as: "avro", "protobuf",
            "arrow", or "framed" for a registry's wire format.
        tables: Names of tables and other artefacts (calendars, currencies) to their digests.
    """

    use_case: str
    lane: str
    definition: str
    model: str
    policy: str
    engine: str
    streams: tuple[StreamHeader, ...]
    on: str
    features: tuple[str, ...] = ()
    categories: Mapping[str, str] = field(default_factory=dict)
    outcomes: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    tables: Mapping[str, str] = field(default_factory=dict)
    forms: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def of_plan(plan: Plan, **names: object) -> JournalHeader:
        """A header with the streams, tables, features and digest of a plan; the rest by name."""
        streams = [StreamHeader(stream.name, stream.schema) for stream in plan.streams]
        streams += [StreamHeader(table.name, table.schema) for table in plan.tables]
        given = {
            "definition": plan.digest(),
            "streams": tuple(streams),
            "on": plan.on,
            "features": tuple(feature.name for feature in plan.features),
            "categories": {
                feature.name: feature.kind.name.lower()
                for feature in plan.features
                if feature.kind in CATEGORICAL
            },
        }
        return JournalHeader(**(given | names))  # type: ignore[arg-type]  # the caller's names are the class's

    @cached_property
    def layout(self) -> RecordLayout:
        """How the records under this header are laid out."""
        return RecordLayout(self.streams)

    @property
    def stream_names(self) -> tuple[str, ...]:
        """Names of streams and tables, by rank."""
        return tuple(stream.name for stream in self.streams)

    def category(self, feature: str) -> Kind | None:
        """The kind of a feature that is a category; None of one that is a number."""
        kind = self.categories.get(feature)
        return Kind[kind.upper()] if kind else None

    def schema(self, stream: str) -> Schema:
        """The schema of a stream or table."""
        return next(item.schema for item in self.streams if item.name == stream)

    def encoded(self) -> bytes:
        """The header as JSON with sorted keys: the bytes that are written and hashed."""
        plain: dict[str, object] = {item.name: getattr(self, item.name) for item in fields(self)}
        plain["streams"] = [
            {"name": item.name, "schema": msgspec.Raw(item.schema.canonical())}
            for item in self.streams
        ]
        if not self.forms:
            del plain["forms"]
        return msgspec.json.encode(plain, order="sorted")

    def digest(self) -> bytes:
        """SHA-256 of the encoded header, in its domain."""
        return header_digest(self.encoded())

    @staticmethod
    def decoded(encoded: bytes) -> JournalHeader:
        """The inverse of `encoded`.

        Raises:
            JournalError: The bytes are not a header.
        """
        try:
            parts = _PARTS.decode(encoded)
            streams = _STREAMS.decode(parts.pop("streams"))
            tables = _NAMES.decode(parts.pop("tables"))
            categories = _NAMES.decode(parts.pop("categories"))
            forms = _NAMES.decode(parts.pop("forms", b"{}"))
            plain = {name: msgspec.json.decode(part) for name, part in parts.items()}
            named = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in plain.items()
            }
            return JournalHeader(
                streams=tuple(
                    StreamHeader(stream.name, Schema(stream.schema.name, stream.schema.fields))
                    for stream in streams
                ),
                tables=tables,
                categories=categories,
                forms=forms,
                **named,  # type: ignore[arg-type]  # a name that is not the class's is refused below
            )
        except (msgspec.MsgspecError, ValueError, TypeError, KeyError) as error:
            raise JournalError(
                f"a journal header of {len(encoded)} bytes cannot be read: {error}"
            ) from error


class _PlainSchema(msgspec.Struct):
    """A schema as `Schema.canonical` writes it."""

    name: str
    fields: tuple[Field, ...]


class _PlainStream(msgspec.Struct):
    """A stream as `JournalHeader.encoded` writes it."""

    name: str
    schema: _PlainSchema


_PARTS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_STREAMS = msgspec.json.Decoder(tuple[_PlainStream, ...])
_NAMES = msgspec.json.Decoder(dict[str, str])


def header_digest(encoded: bytes) -> bytes:
    """SHA-256 of the bytes of a header, in its domain."""
    return hashlib.sha256(HEADER_DOMAIN + encoded).digest()
