"""Reading payloads of one event each, form by form, beside lines of JSON: rows a second.

The payments of nine fields of `json_lines.py`, in batches as a topic hands them over (a list of
bytes). All ways read the same events in the same run, in turns, on one thread; figures are medians
of processor time, and every way gives the same columns, which is looked at first. "Alone" is what
Headrace does with rows that are not plain: the form's own library, row by row, and the reference
that validates. "Decoded" is the library's own work, without columns and validation.

    python benchmarks/payload_forms.py [--events 100000] [--batch 10000] [--repeat 7]
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import fastavro
import numpy as np
from benchmarks.json_lines import SCHEMA, payments
from google.protobuf import message_factory

from headrace.adapters.avro import AvroPayloads
from headrace.adapters.proto_files import message_of, writer_of
from headrace.adapters.protobuf import ProtobufPayloads
from headrace.core.columns import Batch, Fixed, Kind, Text, unpack_letters
from headrace.events.avro_schema import avro_schema
from headrace.events.json_lines import JsonLines
from headrace.events.json_payloads import JsonPayloads
from headrace.events.row_bytes import RowBytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.events.parsed import Parsed

_LETTERS = {Kind.CURRENCY: 3, Kind.COUNTRY: 2}


def values_of(batch: Batch) -> list[dict[str, Any]]:
    """The events as Python values."""
    columns: list[list[Any]] = []
    for field in SCHEMA.fields:
        column = batch.columns[field.name]
        if isinstance(column, Text):
            columns.append(list(column.strings()))
            continue
        values = column.floats().tolist() if field.kind is Kind.FLOAT else column.values.tolist()
        if field.kind in _LETTERS:
            values = [unpack_letters(value, _LETTERS[field.kind]) for value in values]
        if field.kind is Kind.BOOL:
            values = [bool(value) for value in values]
        present = column.valid.tolist()
        columns.append([v if p else None for v, p in zip(values, present, strict=True)])
    return [dict(zip(SCHEMA.names, row, strict=True)) for row in zip(*columns, strict=True)]


def avro_payloads(events: list[dict[str, Any]]) -> list[bytes]:
    """The events as data of Avro."""
    written = fastavro.parse_schema(_without_logical_types())
    payloads = []
    for event in events:
        stream = io.BytesIO()
        fastavro.schemaless_writer(stream, written, event)
        payloads.append(stream.getvalue())
    return payloads


def _without_logical_types() -> dict[str, Any]:
    made = avro_schema(SCHEMA)
    for field in made["fields"]:
        if field["name"] == "at":
            field["type"] = "long"
    return made


def message_class() -> Any:
    """The class of Google's library for a payment."""
    return message_factory.GetMessageClass(message_of(writer_of(SCHEMA)))


def protobuf_payloads(events: list[dict[str, Any]]) -> list[bytes]:
    """The events as messages."""
    made = message_class()
    payloads = []
    for event in events:
        rest = {name: value for name, value in event.items() if name != "at"}
        message = made(**rest)
        message.at.FromNanoseconds(event["at"])
        payloads.append(message.SerializeToString())
    return payloads


def batched(payloads: list[bytes], size: int, read: Callable[[list[bytes]], object]) -> None:
    """Read payloads in batches."""
    for start in range(0, len(payloads), size):
        read(payloads[start : start + size])


def ways(lines: bytes, batch: int) -> dict[str, Callable[[], object]]:
    """Ways to read the events."""
    objects = lines.splitlines()
    parsed = JsonLines(SCHEMA).parse(lines)
    events = values_of(parsed.batch)
    avro, protobuf = avro_payloads(events), protobuf_payloads(events)
    json_lines, json_payloads = JsonLines(SCHEMA), JsonPayloads(SCHEMA)
    avro_codec, protobuf_codec = AvroPayloads(SCHEMA), ProtobufPayloads(SCHEMA)
    written, made = fastavro.parse_schema(_without_logical_types()), message_class()
    for read in (
        json_payloads.parse(objects),
        avro_codec.parse(avro),
        protobuf_codec.parse(protobuf),
        avro_codec.row_by_row(RowBytes.of(avro[:1000])),
        protobuf_codec.row_by_row(RowBytes.of(protobuf[:1000])),
    ):
        check(read, parsed)
    for name, payloads in (("JSON", objects), ("Avro", avro), ("Protobuf", protobuf)):
        print(f"{name:10} {sum(map(len, payloads)) / len(payloads):6.1f} bytes an event")

    def chunks() -> None:
        for start in range(0, len(objects), batch):
            json_lines.parse(b"\n".join(objects[start : start + batch]))

    def alone(codec: AvroPayloads | ProtobufPayloads) -> Callable[[list[bytes]], object]:
        return lambda payloads: codec.row_by_row(RowBytes.of(payloads))

    def fastavro_alone(payloads: list[bytes]) -> object:
        return [fastavro.schemaless_reader(io.BytesIO(item), written, None) for item in payloads]

    return {
        "lines of JSON, joined": chunks,
        "JSON": lambda: batched(objects, batch, json_payloads.parse),
        "Avro": lambda: batched(avro, batch, avro_codec.parse),
        "Avro, fastavro alone": lambda: batched(avro, batch, alone(avro_codec)),
        "  decoded to dicts": lambda: batched(avro, batch, fastavro_alone),
        "Protobuf": lambda: batched(protobuf, batch, protobuf_codec.parse),
        "Protobuf, Google's alone": lambda: batched(protobuf, batch, alone(protobuf_codec)),
        "  decoded to messages": lambda: batched(
            protobuf, batch, lambda payloads: [made.FromString(item) for item in payloads]
        ),
    }


def check(read: Parsed, expected: Parsed) -> None:
    """Stop if the columns are not the same, as far as they were read."""
    rows = len(read.batch)
    for name, column in read.batch.columns.items():
        other = expected.batch.columns[name].take(np.arange(rows))
        same = column.valid.tobytes() == other.valid.tobytes()
        if isinstance(column, Fixed) and isinstance(other, Fixed):
            same = same and column.values.tobytes() == other.values.tobytes()
        elif isinstance(column, Text) and isinstance(other, Text):
            same = same and column.strings() == other.strings()
        if not same or read.received != rows:
            sys.exit(f"the column {name} is not what lines of JSON give")


def race(found: dict[str, Callable[[], object]], events: int, repeat: int) -> None:
    """Run all in turns, and print rows a second."""
    taken: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(repeat + 1):
        for name, way in found.items():
            begun = time.process_time()
            way()
            taken[name].append((time.process_time() - begun) / events * 1e6)
    # the first round compiles and warms up
    medians = {name: statistics.median(times[1:]) for name, times in taken.items()}
    first = next(iter(medians.values()))
    for name, middle in medians.items():
        print(f"{name:26} {1e6 / middle:12,.0f}/s {middle:8.3f} us {middle / first:7.1f} x")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=7)
    options = parser.parse_args()
    found = ways(payments(options.events), options.batch)
    print(f"{options.events:,} events in batches of {options.batch:,}, one thread")
    race(found, options.events, options.repeat)


if __name__ == "__main__":
    main()
