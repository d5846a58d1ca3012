"""Files as wholes: hashing one, and putting one in another's place in a single step."""

import hashlib

import pytest

from ml.runtime.files import file_sha256, replaced


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"content" * 100_000)

    assert file_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("durable", [False, True])
def test_the_new_file_appears_only_once_the_block_has_ended(tmp_path, durable):
    path = tmp_path / "file"
    path.write_text("old")

    with replaced(path, durable=durable) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"

    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail_half_way():
        with replaced(path) as partial:
            partial.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_file_do_not_write_into_each_other(tmp_path):
    path = tmp_path / "file"

    with replaced(path) as one, replaced(path) as other:
        one.write_text("one")
        other.write_text("other")

    assert path.read_text() == "one"
