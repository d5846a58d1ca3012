"""Answers and pages that are odd: what chance did is mended, what leads nowhere is told."""

import pytest

from services.errors import TransientError
from services.youtube.batches import UNANSWERABLE, Fares, Others
from tests.support.youtube import MemoryLedger, Reply, as_json, gateway_to, scripted_server

CHANNEL = "UC_x5XG1OV2P6uZZ5FSM9Ttw"
VIDEO = "D-lhorsDlUQ"


def video_ids(n):
    return [f"video{i:06d}" for i in range(n)]


def test_what_chance_did_to_an_answer_is_mended_at_once():
    first, second = video_ids(2)
    ledger = MemoryLedger()

    def respond(asked):
        bad = "-1" if len(asked.ids) == 2 else "7"
        counts = {first: bad, second: "8"}
        return as_json({"items": [{"id": i, "statistics": {"viewCount": counts[i]}}
                                  for i in asked.ids]})  # fmt: skip

    with scripted_server(respond) as server:
        answer = gateway_to(server.url, ledger).statistics([first, second])
    assert {i: facts.view_count for i, facts in answer.items.items()} == {first: 7, second: 8}
    assert (answer.refused, answer.lasting, answer.missing) == ((), frozenset(), ())
    assert ledger.booked == {"batchGetStats": 2}


@pytest.mark.parametrize("token", [5, "A" * 100_000, ["next"], {"a": 1}, True])
def test_a_page_token_that_leads_nowhere_is_told_from_the_last_page(token):
    body = {"items": [{"contentDetails": {"videoId": VIDEO}}], "nextPageToken": token}
    with scripted_server(lambda asked: as_json(body)) as server:
        page = gateway_to(server.url).uploads_page("UU" + CHANNEL[2:])
    assert page.video_ids == (VIDEO,)
    assert (page.next_page_token, page.is_broken) == (None, True)


@pytest.mark.parametrize("token", [None, "", 0, "CDIQAA"])
def test_a_page_without_a_token_is_the_last(token):
    body = {"items": [{"contentDetails": {"videoId": VIDEO}}], "nextPageToken": token}
    with scripted_server(lambda asked: as_json(body)) as server:
        page = gateway_to(server.url).uploads_page("UU" + CHANNEL[2:])
    assert (page.next_page_token, page.is_broken) == (token or None, False)


FAILS = Reply(500, b"")


def every_count(asked):
    return as_json({"items": [{"id": i, "statistics": {"viewCount": "7"}} for i in asked.ids]})


def faring(fares):
    return Others(fare=lambda: fares)


@pytest.mark.parametrize("fares", [Fares.LATELY, Fares.SINCE])
def test_however_many_spoil_their_calls_there_is_one_pause_for_all_of_them(fares):
    ids, waits = video_ids(150), []
    culprits = {ids[0], ids[30], ids[70], ids[149]}
    with scripted_server(
        lambda asked: FAILS if culprits & set(asked.ids) else every_count(asked)
    ) as server:
        answer = gateway_to(server.url, wait=waits.append).statistics(ids, faring(fares))
    assert {r.item_id: r.reason for r in answer.refused} == dict.fromkeys(culprits, UNANSWERABLE)
    assert answer.items.keys() == set(ids) - culprits
    assert (answer.unasked, answer.missing, answer.failure) == ((), (), None)
    assert waits == [1.0]
    # Three tries of each call, log2(50) halves of it for each culprit and what that leaves.
    assert len(server.requests) <= 3 * 3 + 4 * 9


def test_who_is_better_after_the_pause_is_not_blamed():
    ids, waits = video_ids(50), []
    with scripted_server(
        lambda asked: FAILS if ids[17] in asked.ids and not waits else every_count(asked)
    ) as server:
        answer = gateway_to(server.url, wait=waits.append).statistics(ids, faring(Fares.LATELY))
    assert (answer.items.keys(), answer.refused) == (set(ids), ())
    assert waits == [1.0]


@pytest.mark.parametrize(("fares", "calls"), [(Fares.LATELY, 3 + 4), (Fares.SINCE, 3 + 12)])
def test_a_host_that_fails_for_a_moment_is_asked_once_more_and_blames_nobody(fares, calls):
    ids, waits = video_ids(50), []
    with scripted_server(lambda asked: every_count(asked) if waits else FAILS) as server:
        answer = gateway_to(server.url, wait=waits.append).statistics(ids, faring(fares))
    assert (answer.items.keys(), answer.refused) == (set(ids), ())
    assert waits == [1.0]
    assert len(server.requests) == calls + 1


@pytest.mark.parametrize(
    ("fares", "size", "calls"),
    [(Fares.UNKNOWN, size, 3) for size in (1, 2, 3, 50)]
    + [(Fares.LATELY, size, 3 + 4 + 1) for size in (1, 2, 3, 50)]
    + [(Fares.SINCE, size, 3 + 12 + 1) for size in (3, 50)],
)
def test_a_host_that_is_down_costs_few_calls_and_blames_nobody(fares, size, calls):
    ledger = MemoryLedger()
    with scripted_server(lambda asked: FAILS) as server, pytest.raises(TransientError):
        gateway_to(server.url, ledger).statistics(video_ids(size), faring(fares))
    assert ledger.booked["batchGetStats"] <= calls


def test_a_host_that_goes_down_between_two_calls_blames_nobody():
    ids = video_ids(53)
    with scripted_server(
        lambda asked: FAILS if len(server.requests) > 1 else every_count(asked)
    ) as server:
        answer = gateway_to(server.url).statistics(ids, faring(Fares.LATELY))
    assert answer.items.keys() == set(ids[:50])
    assert (answer.refused, answer.unasked) == ((), tuple(ids[50:]))
    assert isinstance(answer.failure, TransientError)
    assert len(server.requests) <= 1 + 3 + 4 + 1


@pytest.mark.parametrize("falls", ["before the next call", "before the pause", "after the pause"])
def test_a_host_that_falls_after_who_spoils_was_found_blames_nobody(falls):
    ids, falling, served = video_ids(100), [], []
    innocent, other = ids[0], ids[3]

    def respond(asked):
        served.append(asked.ids)
        if falls == "before the next call" and ids[50] in asked.ids:
            falling.append(True)
        # By chance, until the two are alone: nothing is wrong with them.
        return FAILS if falling or {innocent, other} & set(asked.ids) else every_count(asked)

    def wait(_seconds):
        if falls == "before the pause":
            falling.append(True)
        if falls == "after the pause":
            served.clear()

    def respond_later(asked):
        reply = respond(asked)
        if falls == "after the pause" and served == [[innocent], [other]]:
            falling.append(True)
        return reply

    with scripted_server(respond_later) as server:
        answer = gateway_to(server.url, wait=wait).statistics(ids, faring(Fares.SINCE))
    assert answer.refused == ()
    assert {innocent, other} <= set(answer.unasked)
    assert answer.failure is not None


def test_the_suspects_of_a_host_that_is_down_are_not_asked_for():
    ids, asked_for = video_ids(100), []

    def respond(asked):
        asked_for.append(list(asked.ids))
        return FAILS if {ids[0], *ids[50:]} & set(asked.ids) else every_count(asked)

    with scripted_server(respond) as server:
        answer = gateway_to(server.url, wait=lambda _s: None).statistics(ids, faring(Fares.LATELY))
    assert asked_for.count([ids[0]]) == 1
    assert (ids[0] in answer.unasked, answer.refused) == (True, ())
