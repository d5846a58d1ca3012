"""A file from outside must not make FFmpeg read other files or speak to other machines."""

import socket
import threading

import pytest

from ml.audio import AudioError, decoded
from tests.support import sound


@pytest.fixture
def listener():
    """A port of 127.0.0.1, and the connections that it has seen."""
    seen = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept():
            try:
                while True:
                    connection, _ = server.accept()
                    seen.append(connection.recv(100))
                    connection.close()
            except OSError:
                pass

        thread = threading.Thread(target=accept)
        thread.start()
        yield server.getsockname()[1], seen
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def playlists(other, port):
    url = f"http://127.0.0.1:{port}/x.ts"
    for name, target in (("file", other), ("http", url)):
        yield (
            f"hls {name}",
            (f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:5,\n{target}\n#EXT-X-ENDLIST\n"),
        )
        yield f"concat {name}", f"ffconcat version 1.0\nfile '{target}'\n"
        yield (
            f"dash {name}",
            (
                '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
                'mediaPresentationDuration="PT5S"><Period><AdaptationSet mimeType="audio/webm">'
                f'<Representation id="1" bandwidth="1000"><BaseURL>{target}</BaseURL>'
                "</Representation></AdaptationSet></Period></MPD>"
            ),
        )
        yield f"sdp {name}", f"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=audio {port} RTP/AVP 0\n"


@pytest.mark.parametrize("suffix", ["m3u8", "ffconcat", "mpd", "sdp", "mp3", "mp4", "wav"])
def test_a_file_that_points_elsewhere_is_no_audio_and_nobody_is_asked(suffix, tmp_path, listener):
    port, seen = listener
    other = sound.write_wav(tmp_path / "other.wav", sound.voiced(2))
    for kind, text in playlists(other, port):
        path = tmp_path / f"list.{suffix}"
        path.write_text(text)
        with pytest.raises(AudioError) as raised:
            list(decoded(path))
        assert raised.value.reason == "notAudio", kind
    assert seen == []


@pytest.mark.parametrize("name", ["http:x.wav", "concat:a.wav|b.wav", "-i.wav", "%03d.wav"])
def test_a_name_that_image_features_like_an_address_is_a_name(name, tmp_path):
    path = sound.write_wav(tmp_path / "x.wav", sound.voiced(1)).rename(tmp_path / name)
    assert sum(map(len, decoded(path))) == 16_000
