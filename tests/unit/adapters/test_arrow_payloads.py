"""Arrow streams of one row as payloads."""

from __future__ import annotations

import random

import pyarrow as pa
from event_rows import PAYMENT, ROW, assert_same_columns, json_payload

from headrace.adapters.arrow_payloads import ArrowPayloads
from headrace.events.arrow_columns import MINOR_UNITS
from headrace.events.arrow_forms import to_arrow
from headrace.events.json_lines import JsonLines
from headrace.events.reasons import Reason


def stream(table: pa.RecordBatch | pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


BATCH = (
    JsonLines(PAYMENT)
    .parse(
        b"\n".join(
            json_payload(PAYMENT, {**ROW, "count": i, "payment_id": f"p{i}"}) for i in range(9)
        )
    )
    .batch
)
PAYLOADS = [stream(to_arrow(PAYMENT, BATCH).slice(i, 1)) for i in range(9)]


def test_rows_read_as_they_were_written() -> None:
    parsed = ArrowPayloads(PAYMENT).parse(PAYLOADS)
    assert parsed.rows.tolist() == list(range(9))
    assert_same_columns(parsed.batch, BATCH)
    assert ArrowPayloads(PAYMENT).parse([]).received == 0


def test_a_column_more_and_one_less_and_other_types() -> None:
    row = to_arrow(PAYMENT, BATCH).slice(0, 1)
    more = row.append_column("x", pa.array([[1, 2]]))
    less = row.drop_columns(["note"])
    required = row.drop_columns(["card"])
    minor = pa.RecordBatch.from_arrays(
        [pa.array([1234]) if name == "amount" else row[name] for name in row.schema.names],
        schema=row.schema.set(3, pa.field("amount", pa.int64(), metadata=MINOR_UNITS)),
    )
    nested = row.drop_columns(["count"]).append_column("count", pa.array([[1]]))
    parsed = ArrowPayloads(PAYMENT).parse(
        [stream(item) for item in (more, nested, less, required, minor)]
    )
    assert parsed.rows.tolist() == [0, 2, 4]
    assert parsed.batch.text("note").valid.tolist() == [1, 0, 1]
    assert parsed.batch.fixed("amount").values.tolist() == [1234] * 3
    found = [(item.reason, item.field) for item in (parsed.rejections[0], parsed.rejections[1])]
    assert found == [(Reason.WRONG_TYPE, ""), (Reason.MISSING, "card")]


def test_damaged_streams_are_refused_or_read_and_never_raise() -> None:
    rng = random.Random(1)
    payloads = []
    for _ in range(1500):
        data = bytearray(PAYLOADS[0])
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(data))
            data[at : at + rng.randint(0, 4)] = rng.randbytes(rng.randint(0, 4))
        payloads.append(bytes(data))
    payloads += [
        b"",
        stream(to_arrow(PAYMENT, BATCH)),
        stream(to_arrow(PAYMENT, BATCH).slice(0, 0)),
    ]
    payloads.append(bytes(70_000))
    parsed = ArrowPayloads(PAYMENT).parse(payloads)
    assert parsed.received == len(payloads)
    last = [parsed.rejections[i].reason for i in range(len(parsed.rejections))][-4:]
    assert last == [Reason.MALFORMED] * 3 + [Reason.OVERSIZE]
