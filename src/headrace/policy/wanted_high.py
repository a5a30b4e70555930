"""Which values a rule wants high: what speaks for them speaks for the rule."""

from __future__ import annotations

from headrace.policy.conditions import All, AnyOf, Comparison, Condition, Not, Operand, Relation

_ABOVE = (Relation.GT, Relation.GE)
_BELOW = (Relation.LT, Relation.LE)


def wanted_high(condition: Condition, *, turned: bool = False) -> tuple[Operand, ...]:
    """The operands that a condition compares from below, in the order in which it names them.

    Args:
        condition: Of a rule.
        turned: Whether its contrary is meant.

    >>> from headrace.policy.conditions import Constant, Source
    >>> up, held = (Operand(Source.FEATURE, name) for name in ("score_up", "position"))
    >>> likely = Comparison(up, Relation.GE, Constant.of(0.55))
    >>> few = Comparison(held, Relation.LT, Constant.of(500))
    >>> [operand.name for operand in wanted_high(few & likely)]
    ['score_up']
    >>> [operand.name for operand in wanted_high(few & ~likely)]
    []
    """
    if isinstance(condition, All | AnyOf):
        parts = (wanted_high(part, turned=turned) for part in condition.parts)
        return tuple(operand for part in parts for operand in part)
    if isinstance(condition, Not):
        return wanted_high(condition.part, turned=not turned)
    if not isinstance(condition, Comparison):
        return ()
    above, below = (_BELOW, _ABOVE) if turned else (_ABOVE, _BELOW)
    if condition.relation in above:
        return (condition.left,)
    if condition.relation in below and isinstance(condition.right, Operand):
        return (condition.right,)
    return ()
