"""A comparison is asked for only of models that have scored."""

from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from benchmarks import big
from db.models.learning import THUMBNAILS
from services.embedded import Endpoints
from services.errors import PermanentError
from services.learning.results import needs_comparison
from tests.support.databases import context_on, own_database, owned


def test_models_that_scored_nothing_are_told_at_once(endpoints: Endpoints, tmp_path: Path):
    with (
        own_database(owned(endpoints.database_url), "needs_comparison") as url,
        closing(context_on(url, endpoints, tmp_path)) as context,
    ):
        assert not needs_comparison(context, THUMBNAILS)
        big.fill(context, big.Size(20, per_channel=5, swaps=1))
        assert needs_comparison(context, THUMBNAILS)
        with context.engine.begin() as connection:
            connection.execute(text("DELETE FROM current_scores WHERE rung = 'thumbnail'"))
            connection.execute(
                text(
                    "DELETE FROM scores USING model_versions m "
                    "WHERE m.model_version_id = scores.model_version_id AND m.rung = 'thumbnail'"
                )
            )
        with pytest.raises(PermanentError, match="thumbnail version 1 has scored") as refused:
            needs_comparison(context, THUMBNAILS)
    assert refused.value.reason == "notScored"
    assert "models score thumbnails" in str(refused.value.hint)
