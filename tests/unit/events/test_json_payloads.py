from hypothesis import given
from hypothesis import strategies as st

from headrace.core.columns import Kind
from headrace.events.json_lines import JsonLines
from headrace.events.json_payloads import JsonPayloads
from headrace.events.schema import Field, Schema

SCHEMA = Schema("Card", (Field("card", Kind.TEXT), Field("n", Kind.INT, optional=True)))
PAYLOADS = JsonPayloads(SCHEMA)
LINES = JsonLines(SCHEMA)

PLAIN = st.sampled_from([b'{"card":"c1"}', b'{"card":"c2","n":7}', b'{"card":"c\\n3"}'])
POISON = st.one_of(
    st.sampled_from([b"", b"\n", b"\r", b"\r\n", b"\n\n\n", b" ", b"{}\n{}", b'{"card":"a\nb"}']),
    st.binary(max_size=12),
    st.lists(PLAIN, min_size=2, max_size=3).map(b"\n".join),
)


@given(st.lists(st.one_of(PLAIN, POISON), min_size=1, max_size=20))
def test_one_message_is_one_row(payloads: list[bytes]) -> None:
    """A message among others is read as it is alone."""
    together = PAYLOADS.parse(payloads)
    assert together.received == len(payloads)
    cards = dict(zip(together.rows.tolist(), together.batch.text("card").strings(), strict=True))
    refused = set(together.rejections.rows.tolist())
    assert refused.isdisjoint(cards)
    for row, payload in enumerate(payloads):
        alone = PAYLOADS.parse([payload])
        assert alone.received == 1
        assert (row in cards) == (len(alone.batch) == 1)
        assert (row in refused) == (len(alone.batch) == 0)
        if row in cards:
            assert alone.batch.text("card").strings() == [cards[row]]


@given(st.lists(PLAIN, min_size=1, max_size=20))
def test_plain_messages_are_read_as_lines(payloads: list[bytes]) -> None:
    messages, lines = PAYLOADS.parse(payloads), LINES.parse(b"\n".join(payloads))
    assert messages.rows.tolist() == lines.rows.tolist()
    assert messages.batch.text("card").strings() == lines.batch.text("card").strings()


def test_white_space_may_be_line_feeds_between_tokens_alone() -> None:
    parsed = PAYLOADS.parse([b'{\n  "card": "c1",\n  "n": 3\n}\n', b'{"card": "c\n1"}'])
    assert parsed.batch.text("card").strings() == ["c1"]
    assert parsed.rejections.rows.tolist() == [1]
