"""The expressions that scoring needs, with what variations read besides."""

from __future__ import annotations

from dataclasses import replace

from gridloom.analysis.models import Analysis
from gridloom.data.recipe import Recipe, make_recipe
from gridloom.errors import InvalidValue
from gridloom.scoring import SAMPLE, Request


def application_recipe(analysis: Analysis, request: Request) -> Recipe:
    """The recipe of the one sample that is scored.

    Raises InvalidValue for a variation of a branch that nothing reads.
    """
    recipe = make_recipe(analysis, SAMPLE)
    changing = [formula for formula in recipe.formulas if formula not in recipe.event_id]
    read = frozenset[str]().union(*(formula.branches for formula in changing))
    for variation in request.variations:
        idle = sorted(set(variation.branches) - read)
        if idle:
            raise InvalidValue(
                f"variation `{variation.name}` replaces `{idle[0]}`, which no selection and no feature reads",
                fix=f"They read: {', '.join(f'`{name}`' for name in sorted(read))}.",
            )
    others = {other for variation in request.variations for other in variation.branches.values()}
    return replace(recipe, substitutes=tuple(sorted(others)))
