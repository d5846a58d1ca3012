import json

import httplib2
import pytest
from googleapiclient.errors import HttpError
from hypothesis import given
from hypothesis import strategies as st

from services.errors import (
    BlockedError,
    PermanentError,
    QuotaError,
    TransientError,
    TubeGraderError,
)
from services.youtube.failures import CALL_FAILURES, ApiKeyError, classify
from services.youtube.quota import reset_at
from tests.support.youtube import NOW, error_body, recorded


def failed(status: int, body: bytes, secret: str = "") -> TubeGraderError:
    error = HttpError(httplib2.Response({"status": status}), body)
    return classify(error, bucket="units", now=NOW, secret=secret)


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (403, "quotaExceeded", QuotaError),
        (403, "dailyLimitExceeded", QuotaError),
        (403, "rateLimitExceeded", BlockedError),
        (403, "userRateLimitExceeded", BlockedError),
        (429, "rateLimitExceeded", BlockedError),
        (400, "keyInvalid", ApiKeyError),
        (400, "keyExpired", ApiKeyError),
        (403, "accessNotConfigured", ApiKeyError),
        (403, "ipRefererBlocked", ApiKeyError),
        (403, "dailyLimitExceededUnreg", ApiKeyError),
        (401, "authError", ApiKeyError),
        (401, "required", ApiKeyError),
        (403, "forbidden", PermanentError),
        (403, "channelForbidden", PermanentError),
        (403, "channelClosed", PermanentError),
        (403, "channelSuspended", PermanentError),
        (403, "playlistItemsNotAccessible", PermanentError),
        (404, "channelNotFound", PermanentError),
        (404, "playlistNotFound", PermanentError),
        (404, "videoNotFound", PermanentError),
        (400, "invalidPageToken", PermanentError),
        (400, "badRequest", PermanentError),
        (500, "internalError", TransientError),
        (503, "backendError", TransientError),
        (504, "gatewayTimeout", TransientError),
        (408, "requestTimeout", TransientError),
    ],
)
def test_each_reason_has_its_kind(status, reason, kind):
    error = failed(status, error_body(reason, code=status))
    assert type(error) is kind
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    "reason", ["channelClosed", "channelSuspended", "forbidden", "invalidPageToken"]
)
def test_an_items_reason_is_kept_word_for_word(reason):
    assert failed(403, error_body(reason)).reason == reason


def test_a_used_up_quota_says_when_it_is_back():
    error = failed(403, error_body("quotaExceeded"))
    assert isinstance(error, QuotaError)
    assert error.reset_at == reset_at(NOW)


@pytest.mark.parametrize(
    ("status", "reason", "message"),
    [
        (400, "badRequest", "API key not valid. Please pass a valid API key."),
        (400, "badRequest", "API key expired. Please renew the API key."),
        (403, "forbidden", "The request is missing a valid API key."),
        (403, "forbidden", "Method doesn't allow unregistered callers."),
        (403, "forbidden", "Requests from referer <empty> are blocked."),
        (403, "forbidden", "Requests from this ios client application <empty> are blocked."),
        (403, "forbidden", "The provided API key has an IP address restriction."),
    ],
)
def test_a_refused_key_is_known_by_its_message_where_the_reason_is_vague(status, reason, message):
    error = failed(status, error_body(reason, message, status))
    assert isinstance(error, ApiKeyError)
    assert "TUBEGRADER_YOUTUBE_API_KEY" in (error.hint or "")


@pytest.mark.parametrize(
    "info",
    ["API_KEY_INVALID", "API_KEY_IP_ADDRESS_BLOCKED", "SERVICE_DISABLED", "CONSUMER_SUSPENDED"],
)
def test_a_refused_key_is_known_by_its_error_info(info):
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": info}]
    error = failed(403, error_body("forbidden", details=details))
    assert isinstance(error, ApiKeyError)
    assert error.reason == info


@pytest.mark.parametrize("reason", ["channelClosed", "playlistNotFound", "invalidPageToken"])
def test_an_item_that_speaks_of_keys_is_still_an_item(reason):
    error = failed(403, error_body(reason, "The API key to success was not found."))
    assert type(error) is PermanentError


def test_a_rate_limit_by_the_day_is_a_quota():
    details = [
        {"reason": "RATE_LIMIT_EXCEEDED", "metadata": {"quota_limit": "defaultPerDayPerProject"}}
    ]
    body = error_body("rateLimitExceeded", "Quota exceeded.", 429, details=details)
    assert isinstance(failed(429, body), QuotaError)
    message = "Quota exceeded for 'Search Queries' and limit 'Search Queries per day'."
    assert isinstance(failed(429, error_body("rateLimitExceeded", message, 429)), QuotaError)


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (302, TransientError, "redirectRefused"),
        (400, BlockedError, "notTheDataApi"),
        (403, BlockedError, "notTheDataApi"),
        (404, BlockedError, "methodUnavailable"),
        (407, BlockedError, "notTheDataApi"),
        (429, BlockedError, "rateLimitExceeded"),
        (500, TransientError, "http500"),
        (502, TransientError, "http502"),
    ],
)
@pytest.mark.parametrize(
    "body", [b"", b"<html>403</html>", b'{"error": "error message"}', b"[1]", b"\xff"]
)
def test_a_page_that_is_not_the_data_apis_is_never_about_the_item(status, kind, reason, body):
    error = failed(status, body)
    assert type(error) is kind
    assert error.reason == reason


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        ("quotaExceeded_403_plain", 403, QuotaError),
        ("quotaExceeded_403_html_RECONSTRUCTED", 403, QuotaError),
        ("pyyoutube__error_response", 400, ApiKeyError),
        ("pyyoutube__error_permission_resp", 403, PermanentError),
        ("pyyoutube__error_response_simple", 400, BlockedError),
    ],
)
def test_recorded_errors_have_their_kind(name, status, kind):
    assert type(failed(status, recorded(f"api/errors/{name}.json"))) is kind


def test_messages_come_without_tags_and_key_and_on_one_line():
    body = error_body("channelClosed", 'See <a href="/x">this</a>\nkey=hush\x00 \ud800' + "x" * 999)
    message = str(failed(403, body, secret="hush"))
    assert "<" not in message
    assert "hush" not in message
    assert message.isprintable()
    assert len(message) < 250


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "errors", "details", "reason", "message", "status"]), inner
        )
    ),
    max_leaves=15,
)


@given(st.integers(300, 599), st.binary() | json_values.map(lambda v: json.dumps(v).encode()))
def test_whatever_body_comes_it_is_sorted(status, body):
    try:
        error = HttpError(httplib2.Response({"status": status}), body)
    except CALL_FAILURES as trouble:  # the client's own trouble with the body
        result = classify(trouble, bucket="units", now=NOW)
    else:
        result = classify(error, bucket="units", now=NOW)
    assert result.reason
    assert str(result).isprintable()
