"""Lists of channels in the shapes that people and programs write them."""

import json
import random
from pathlib import Path

import pytest

from services.crawl.sources import read_channels
from services.errors import UsageError
from services.youtube.identifiers import ChannelReference, ReferenceKind, parse_channel_reference

CASES = Path(__file__).resolve().parents[4].parent / "shared" / "cases"
A, B = "UC" + "a" * 22, "UC" + "b-_" * 7 + "9"
FEED = "https://www.youtube.com/feeds/videos.xml"
URL_A, URL_B = f"http://www.youtube.com/channel/{A}", f"https://www.youtube.com/channel/{B}"
OPML = f"""<?xml version="1.0" encoding="%s"?>
<opml version="1.1"><body><outline text="Año" title="Año">
<outline text="Año & mehr" type="rss" xmlUrl="{FEED}?channel_id={A}" />
<outline text="B" type="rss" xmlUrl="{FEED}?channel_id={B}" htmlUrl="x"/>
</outline></body></opml>
"""
NEWPIPE = {
    "app_version": "0.27.0",
    "app_version_int": 1000,
    "subscriptions": [
        {"service_id": 0, "url": URL_A, "name": "A"},
        {"service_id": 0, "url": URL_B, "name": "B"},
    ],
}
FREETUBE = {
    "_id": "allChannels",
    "name": "All",
    "bgColor": "#000000",
    "subscriptions": [
        {"id": A, "name": "A", "thumbnail": None},
        {"id": B, "name": "B", "thumbnail": "https://yt3.ggpht.com/x"},
    ],
}
TAKEOUT = [
    {
        "id": "subscription",
        "snippet": {"channelId": "UC" + "o" * 22, "resourceId": {"channelId": c}, "title": "x"},
    }
    for c in (A, B)
]
INVIDIOUS = {"subscriptions": [A, B], "watch_history": ["dQw4w9WgXcQ"], "preferences": {"a": 1}}

SHAPES: dict[str, bytes] = {
    "lines": f"# mine\n{A}\r\n\r\n@b\n".replace("@b", B).encode(),
    "OPML": OPML.replace("%s", "UTF-8").encode(),
    "OPML in UTF-16": OPML.replace("%s", "UTF-16").encode("utf-16"),
    "OPML in UTF-16 without a mark": OPML.replace("%s", "utf-16").encode("utf-16-le"),
    "OPML in Latin-1": OPML.replace("%s", "ISO-8859-1").encode("latin-1"),
    "OPML in one line after a mark": OPML.replace("%s", "UTF-8")
    .replace("\n", "")
    .encode("utf-8-sig"),
    "table in Latin-1": f"Título;Canal\nAño;{A}\nÑu;{B}\n".encode("latin-1"),
    "table in UTF-16": f"Titel\tKanal\nÄ\t{A}\nÖ\t{B}\n".encode("utf-16"),
    "table of Excel's": f"sep=;\r\nName;Link\r\nA;{URL_A}\r\nB;{URL_B}\r\n".encode("utf-8-sig"),
    "table of Excel's with tabs": f'"sep=\t"\nName\tLink\nA\t{A}\nB\t{B}\n'.encode(),
    "header channelId": f"channelId\n{A}\n{B}\n".encode(),
    "header Name,Link": f"Name,Link\nA,{URL_A}\nB,{URL_B}\n".encode(),
    "header of Takeout": f"Channel Id,Channel Url,Channel Title\n{A},{URL_A},A\n{B},{URL_B},B\n\n"
    "".encode(),
    "header in German": f"Kanal-ID,Kanal-URL,Kanaltitel\n{A},{URL_A},A\n{B},{URL_B},B\n".encode(),
    "header in Chinese": f"频道 ID,频道标题\n{A},甲\n{B},乙\n".encode(),
    "header nobody foresaw": f"Wer,Wo\nA,{URL_A}\nB,{URL_B}\n".encode(),
    "no header": f"A;{URL_A};12\nB;{URL_B};13\n".encode(),
    "titles with delimiters": f'title;channel\n"A, b; ""c""";{A}\nd, e, f, g;{B}\n'.encode(),
    "titles that begin with a hash": f"title,id\n#1 Music,{A}\n# {A},\nx,{B}\n".encode(),
    "titles that look like handles": f"title,id\n@nobody,{A}\n@nobody,{B}\n".encode(),
    "a quote that never ends": f'title,id\n"12 inch,{A}\nx,{B}\n'.encode(),
    "a link that lacks": f"title,link,id\nA,{URL_A},{A}\nB,,{B}\nx,{URL_A},\n".encode().replace(
        f"x,{URL_A},\n".encode(), b""
    ),
    "rows broken in quotes": f'title,id\n"A\nb",{A}\nB,{B}\n'.encode(),
    "quotes": f"\"{URL_A}\"\n'{B}'\n".encode(),
    "typographic quotes": f"„{A}”\n«{B}»\n".encode(),
    "autolinks and lists of Markdown": f"<{URL_A}>\n* [B]({URL_B})\n".encode(),
    "comments behind": f"{URL_A} # the first\n{B}   // the other\n".encode(),
    "titles behind": f"{URL_A} The first\n{B} - the other\n".encode(),
    "invisible characters": f"\ufeff{A}\u200b\n\ufeff\u00a0{URL_B}\u00a0\u2060\n".encode(),
    "old line ends": f"{A}\r{B}\r".encode(),
    "NewPipe": json.dumps(NEWPIPE).encode(),
    "NewPipe, indented and marked": json.dumps(NEWPIPE, indent=2).encode("utf-8-sig"),
    "FreeTube": json.dumps(FREETUBE).encode() + b"\n",
    "FreeTube, a profile a line": b"\n".join(
        json.dumps({**FREETUBE, "subscriptions": [one]}).encode()
        for one in FREETUBE["subscriptions"]
    ),
    "Invidious": json.dumps(INVIDIOUS).encode(),
    "Takeout of old": json.dumps(TAKEOUT).encode(),
    "an array of ids": json.dumps([A, B], indent=0).encode(),
    "lines of JSON": f'{{"channel_id": "{A}"}}\n{{"channelId": "{B}"}}\n'.encode(),
    "groups of PocketTube": json.dumps({"Music": [A], "News": [B]}).encode(),
}


def channels(content: bytes) -> list[ChannelReference]:
    return [parse_channel_reference(entry.text) for entry in read_channels(content, "list")]


@pytest.mark.parametrize("shape", SHAPES)
def test_what_people_export_is_read(shape: str):
    ids = [ChannelReference(ReferenceKind.ID, channel) for channel in (A, B)]
    assert channels(SHAPES[shape]) == ids


@pytest.mark.parametrize(
    "name",
    [
        *("newpipe.json", "freetube.db", "takeout-de.csv", "name-and-link.csv"),
        *("quoted-single.txt", "same-twice.txt", "opml-utf16.opml"),
    ],
)
def test_files_of_others_are_read(name: str):
    file = CASES / name
    if not file.is_file():
        pytest.skip("the files of others are not here")
    assert channels(file.read_bytes())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (f"Google,note\n{A},x\n@a/b,y\n", [(2, A), (3, "@a/b")]),
        (f"{A}\nGoogle\n@two words\n", [(1, A), (2, "Google"), (3, "@two words")]),
        ("UCtooshortforanid,x\n@b,y\n", [(1, "UCtooshortforanid"), (2, "@b")]),
        (f"a;b\n{A};x\n;\n\nonly title;\n", [(2, A), (5, "only title")]),
        ('{"subscriptions": [{"service_id": 1, "url": "https://soundcloud.com/x"}]}',
         [(1, "https://soundcloud.com/x")]),
        (f'[\n"{A}",\n7,\n{{"name": "x"}}\n]', [(2, A), (3, "7"), (4, '{"name": "x"}')]),
        (f'{{"id": "{A}"}}\nnonsense\n', [(1, A), (2, "nonsense")]),
        ('<opml><outline type="rss" title="lost"/></opml>', [(1, "lost")]),
        ("@a\ufffd\n", [(1, "@a\ufffd")]),
    ],
)  # fmt: skip
def test_what_names_no_channel_stays_as_it_is_written(content, expected):
    found = read_channels(content.encode(), "list")
    assert [(entry.line, entry.text) for entry in found] == expected


def test_a_broken_character_costs_its_line_alone():
    content = "@떵개떵\n@bad\udcff\n@हिन्दी\n".encode("utf-8", "surrogateescape")
    found = [entry.text for entry in read_channels(content, "list")]
    assert (found[0], found[2]) == ("@떵개떵", "@हिन्दी")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{"subscriptions": [', "begins like JSON"),
        (b'{"settings": {}}', "holds no channels"),
        (b"[" * 100_000, "begins like JSON"),
        (b'{"a":' * 100_000, "begins like JSON"),
        (b"\xff\xd8\xff\xe0\x01JFIF\x02\x03", "not text"),
    ],
)
def test_a_file_that_holds_no_list_is_refused_in_one_line(content, why):
    with pytest.raises(UsageError, match=why) as caught:
        read_channels(content, "list")
    assert "\n" not in str(caught.value)


def test_mutated_lists_are_read_or_refused_and_no_line_is_lost():
    chance = random.Random(7)
    shapes = list(SHAPES.values())
    pieces = [
        b"\x00",
        b"\xff",
        b'"',
        b"\n",
        b",",
        b";",
        b"<",
        b"&",
        b"{",
        b"]",
        b"\\",
        b"\xef\xbb\xbf",
    ]
    read = refused = 0
    for _ in range(2_000):
        content = bytearray(chance.choice(shapes))
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(content) + 1)
            if chance.random() < 0.5:
                content[at:at] = chance.choice(pieces)
            elif chance.random() < 0.5:
                del content[at : at + chance.randint(1, 30)]
            else:
                other = chance.choice(shapes)
                content[at:at] = other[chance.randrange(len(other)) :]
        try:
            found = read_channels(bytes(content), "list")
        except UsageError as error:
            assert str(error).startswith("list cannot be used")  # noqa: PT017 - one of two good ends
            refused += 1
            continue
        read += 1
        for entry in found:
            assert entry.line >= 1
            try:
                parse_channel_reference(entry.text)
            except UsageError as error:
                assert error.hint  # noqa: PT017 - likewise
    assert read > 500
    assert refused > 100


def test_no_line_of_mutated_lines_is_lost():
    chance = random.Random(8)
    said = [A, B, "@handle", URL_A, "nonsense", f'"{A}', "a;b", f"x,{B}", "@a b"]
    for _ in range(500):
        lines = chance.choices(said, k=chance.randint(2, 12))
        found = read_channels("\n".join([A, *lines]).encode(), "list")
        assert [entry.line for entry in found] == list(range(1, len(lines) + 2)), lines
