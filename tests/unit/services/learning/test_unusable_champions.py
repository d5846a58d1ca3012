"""What takes the place of a champion that cannot be used any more, unseen."""

from collections.abc import Sequence

import pytest

from db.models import ModelVersion
from services.errors import PermanentError
from services.learning.promotion import decisions

CHAMPIONS = ("subscribers", "subscribers+backbone")


@pytest.mark.parametrize(
    ("newest", "decided"),
    [
        (CHAMPIONS, ("promoted", "championUnusable")),
        ((*CHAMPIONS, "subscribers+text"), ("promoted", "championUnusable")),
        (CHAMPIONS[:1], ("kept", "fewerRungs")),
    ],
)
def test_only_a_ladder_with_all_of_its_rungs_replaces_it(
    newest: Sequence[str], decided: tuple[str, str]
):
    old = [ModelVersion(rung=rung, version=1) for rung in CHAMPIONS]
    new = [ModelVersion(rung=rung, version=2) for rung in newest]
    made = decisions.unusable(
        old[-1],
        new[0],
        PermanentError("its measurements are others", reason="measurementsOther"),
        champions=old,
        ladder=new,
        chosen_by="It is the simplest.",
        figures={},
    )
    assert (made.decision, made.ground) == decided
    assert "its measurements are others" in made.reason
    assert ("lack what it has, subscribers+backbone" in made.reason) == (decided[0] == "kept")
