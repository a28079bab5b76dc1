"""Files that may be gzip: members, padding, damage, and what a hostile one may cost."""

from __future__ import annotations

import contextlib
import gzip
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refinebio_assets.compression import (
    PIECE,
    DamagedGzip,
    TooLarge,
    TruncatedGzip,
    is_gzip,
    pieces,
    read_head,
    read_whole,
)
from refinebio_assets_tests.conftest import shared_data

MOST = 1 << 30


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gzip") / "file"


def written(target: Path, content: bytes) -> Path:
    target.write_bytes(content)
    return target


class TestWholeFiles:
    @given(
        parts=st.lists(
            st.tuples(st.binary(max_size=300), st.integers(0, 9), st.integers(0, 40)),
            min_size=1,
            max_size=5,
        )
    )
    def test_members_are_one_content_and_zeros_are_padding(
        self, target: Path, parts: list[tuple[bytes, int, int]]
    ) -> None:
        file = b"".join(gzip.compress(part, level) + bytes(zeros) for part, level, zeros in parts)
        content = b"".join(part for part, _, _ in parts)
        assert read_whole(written(target, file), MOST) == content
        assert b"".join(pieces(target)) == content

    @given(content=st.binary(max_size=300).filter(lambda content: not is_gzip(content)))
    def test_what_is_not_gzip_stays_as_it_is(self, target: Path, content: bytes) -> None:
        assert read_whole(written(target, content), MOST) == content

    @pytest.mark.parametrize("size", [PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 20 * PIECE + 7])
    def test_a_member_that_fills_whole_pieces(self, target: Path, size: int) -> None:
        # All of it comes from a few bytes, so that the last piece waits inside the inflater.
        file = gzip.compress(bytes(size)) + gzip.compress(b"end")
        assert read_whole(written(target, file), MOST) == bytes(size) + b"end"
        assert max(map(len, pieces(target))) <= PIECE

    def test_a_hundred_thousand_members(self, target: Path) -> None:
        file = gzip.compress(b"x") * 100_000  # a quadratic reader needs minutes
        assert read_whole(written(target, file), MOST) == b"x" * 100_000
        assert read_head(target, 70_000) == b"x" * 70_000

    def test_a_real_file(self) -> None:
        path = shared_data("affymetrix/single/C30057.CEL.gz")
        assert read_whole(path, MOST) == gzip.decompress(path.read_bytes())


class TestDamage:
    @given(content=st.binary(min_size=1, max_size=2000), data=st.data())
    def test_a_cut_stream(self, target: Path, content: bytes, data: st.DataObject) -> None:
        file = gzip.compress(content)
        size = data.draw(st.integers(2, len(file) - 1))
        with pytest.raises(TruncatedGzip):
            read_whole(written(target, file[:size]), MOST)

    @given(content=st.binary(min_size=1, max_size=500), data=st.data())
    def test_a_changed_byte_is_seen_or_harmless(
        self, target: Path, content: bytes, data: st.DataObject
    ) -> None:
        file = bytearray(gzip.compress(content))
        file[data.draw(st.integers(2, len(file) - 1))] ^= data.draw(st.integers(1, 255))
        with contextlib.suppress(DamagedGzip):
            assert read_whole(written(target, bytes(file)), MOST) == content

    @pytest.mark.parametrize("rest", [b"junk", b"\0\0junk", b"\x1fjunk"])
    def test_something_after_the_stream(self, target: Path, rest: bytes) -> None:
        with pytest.raises(DamagedGzip) as raised:
            read_whole(written(target, gzip.compress(b"content") + rest), MOST)
        assert not isinstance(raised.value, TruncatedGzip)

    def test_the_content_before_the_damage_is_given(self, target: Path) -> None:
        whole = gzip.compress(bytes(range(256)) * 4000)
        path = written(target, whole[:-4])
        assert read_head(path, 5000) == (bytes(range(256)) * 20)[:5000]
        assert read_head(path, MOST) == bytes(range(256)) * 4000

    def test_a_head_of_nothing(self, target: Path) -> None:
        with pytest.raises(DamagedGzip):
            read_head(written(target, b"\x1f\x8bnot gzip at all"), 100)
        assert read_head(written(target, b""), 100) == b""


class TestBounds:
    @given(size=st.integers(0, 3000), most=st.integers(0, 3000), compressed=st.booleans())
    @settings(max_examples=50)
    def test_more_than_allowed(self, target: Path, size: int, most: int, compressed: bool) -> None:
        content = b"c" * size
        path = written(target, gzip.compress(content) if compressed else content)
        if size > most:
            with pytest.raises(TooLarge):
                read_whole(path, most)
        else:
            assert read_whole(path, most) == content
        assert read_head(path, most) == content[:most]

    def test_a_bomb_costs_no_more_than_its_bound(self, target: Path) -> None:
        written(target, gzip.compress(bytes(1 << 26)))  # 64 MiB in 64 KiB
        tracemalloc.start()
        try:
            with pytest.raises(TooLarge):
                read_whole(target, 10 * PIECE)
            assert sum(map(len, pieces(target))) == 1 << 26
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 16 * PIECE
