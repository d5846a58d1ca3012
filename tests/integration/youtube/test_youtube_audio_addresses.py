"""Where speech is fetched from, and where it is not."""

import pytest

from services.errors import BlockedError, TransientError, UsageError
from services.settings import Settings
from services.youtube.audio import AudioSource
from tests.support.audio import source_of, spoken_webm
from tests.support.youtube import Reply, scripted_server

VIDEO = "dQw4w9WgXcQ"


@pytest.mark.parametrize(
    "target", ["http://127.0.0.2:1/a", "http://localhost:1/a", "http://10.0.0.1/a", "file:///a"]
)
def test_no_redirect_to_a_private_address_is_followed(tmp_path, target):
    def respond(asked):
        return Reply(status=302, body=b"", headers={"Location": target})

    with scripted_server(respond) as server, pytest.raises(TransientError) as refused:
        source_of(server.url).fetch(VIDEO, into=tmp_path)
    assert refused.value.reason == "redirectRefused"
    assert len(server.requests) == 1


def test_no_manifest_leads_to_another_server_of_this_machine(tmp_path):
    def elsewhere(asked):
        return Reply(body=spoken_webm(), headers={"Content-Type": "audio/webm"})

    with scripted_server(elsewhere) as secret:

        def manifest(asked):
            body = (
                '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period>'
                '<AdaptationSet contentType="audio" mimeType="audio/webm">'
                '<Representation id="1" codecs="opus" bandwidth="50000">'
                f"<BaseURL>{secret.url}/secret</BaseURL>"
                "</Representation></AdaptationSet></Period></MPD>"
            )
            headers = {"Content-Type": "application/dash+xml"}
            return Reply(body=body.encode(), headers=headers)

        with scripted_server(manifest) as server, pytest.raises(TransientError) as refused:
            source_of(server.url).fetch(VIDEO, into=tmp_path)
    assert refused.value.reason == "redirectRefused"
    assert secret.requests == []


@pytest.mark.parametrize(
    "address", ["ftp://a/{video_id}", "http://a/", "file:///{video_id}", "{video_id}"]
)
def test_an_address_that_cannot_be_is_refused(tmp_path, address):
    with pytest.raises(UsageError, match="is no address"):
        AudioSource(media_url=address).fetch(VIDEO, into=tmp_path)


def test_youtube_without_a_javascript_runtime_is_not_asked(tmp_path):
    source = AudioSource(js_runtime="node:/nowhere/node")
    with pytest.raises(BlockedError) as missing:
        source.fetch(VIDEO, into=tmp_path)
    assert missing.value.reason == "noJavaScriptRuntime"
    assert "yt-dlp-ejs" in str(missing.value.hint)
    with pytest.raises(UsageError, match="no JavaScript runtime"):
        AudioSource(js_runtime="rhino").fetch(VIDEO, into=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_settings_become_a_source(tmp_path):
    settings = Settings(
        home=tmp_path,
        media_url="http://127.0.0.1:1/{video_id}",
        ytdlp_cookies=tmp_path / "c",
        ytdlp_proxy="http://me:hunter2@127.0.0.1:2",
        ytdlp_js_runtime="node",
        ytdlp_rate_limit=50_000,
        ytdlp_sleep_s=2,
    )
    source = AudioSource.from_settings(settings)
    assert source.proxy == "http://me:hunter2@127.0.0.1:2"
    assert (source.rate_limit, source.sleep_s, source.js_runtime) == (50_000, 2, "node")
    assert source.address(VIDEO) == f"http://127.0.0.1:1/{VIDEO}"
    assert "hunter2" not in repr(settings)
