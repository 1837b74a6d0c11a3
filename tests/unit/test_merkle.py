"""The audit tree against RFC 6962 as it is written there: recursively, over the whole list of leaves."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract import merkle

sizes = st.integers(1, 700)


def _leaves(count: int) -> list[bytes]:
    return [sha256(b"\x00" + n.to_bytes(4, "big")).digest() for n in range(count)]


def _root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, 2.1."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return sha256(b"\x01" + _root(leaves[:half]) + _root(leaves[half:])).digest()


def _path(index: int, leaves: list[bytes]) -> list[bytes]:
    """PATH of RFC 6962, 2.1.1."""
    if len(leaves) == 1:
        return []
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    if index < half:
        return [*_path(index, leaves[:half]), _root(leaves[half:])]
    return [*_path(index - half, leaves[half:]), _root(leaves[:half])]


def _subproof(first: int, leaves: list[bytes], whole: bool) -> list[bytes]:
    """SUBPROOF of RFC 6962, 2.1.2."""
    if first == len(leaves):
        return [] if whole else [_root(leaves)]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    if first <= half:
        return [*_subproof(first, leaves[:half], whole), _root(leaves[half:])]
    return [*_subproof(first - half, leaves[half:], False), _root(leaves[:half])]


class Kept:
    """A tree that grew in portions, with nothing but what is kept of it."""

    def __init__(self) -> None:
        self.hashes: dict[merkle.Subtree, bytes] = {}
        self.size = 0

    def grow(self, leaves: list[bytes]) -> None:
        before = self.of(merkle.edge(self.size))
        found = merkle.completed(before, self.size, leaves)
        self.hashes |= found | {(0, self.size + n): leaf for n, leaf in enumerate(leaves)}
        self.size += len(leaves)

    def of(self, wanted: list[tuple[int, int, int]]) -> dict[merkle.Subtree, bytes]:
        return {
            (level, index): self.hashes[level, index]
            for level, start, end in wanted
            for index in range(start, end)
        }


@settings(deadline=None)
@given(st.lists(st.integers(0, 300), max_size=6))
def test_it_grows_in_portions_to_the_same_root(portions: list[int]) -> None:
    leaves = _leaves(sum(portions))
    kept, growing = Kept(), merkle.Growing()
    assert merkle.part({}, (0, 0)) == growing.root() == merkle.EMPTY
    for portion in portions:
        mine = leaves[kept.size : kept.size + portion]
        kept.grow(mine)
        for leaf in mine:
            growing.add(leaf)
        expected = _root(leaves[: kept.size])
        assert growing.root() == expected
        edge = kept.of(merkle.edge(kept.size))
        assert merkle.part(edge, (0, kept.size)) == expected
        assert len(edge) <= 255 * 3


@settings(deadline=None)
@given(sizes, st.data())
def test_inclusion(size: int, data: st.DataObject) -> None:
    leaves = _leaves(size)
    kept = Kept()
    kept.grow(leaves)
    index = data.draw(st.integers(0, size - 1))
    spans = merkle.inclusion(index, size)
    mine = kept.of(merkle.needed(spans))
    proof = [merkle.part(mine, span) for span in spans]
    assert proof == _path(index, leaves)
    assert merkle.root_of_inclusion(leaves[index], index, size, proof) == _root(leaves)
    other = data.draw(
        st.integers(0, size - 1).filter(lambda n: n != index) if size > 1 else st.none()
    )
    if other is not None:
        assert merkle.root_of_inclusion(leaves[other], index, size, proof) != _root(leaves)
    with pytest.raises(ValueError, match="has"):
        merkle.root_of_inclusion(leaves[index], index, size, [*proof, merkle.EMPTY])
    with pytest.raises(ValueError, match="no leaf"):
        merkle.inclusion(size, size)


@settings(deadline=None)
@given(sizes, st.data())
def test_consistency(second: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(1, second))
    leaves = _leaves(second)
    kept = Kept()
    kept.grow(leaves)
    spans = merkle.consistency(first, second)
    mine = kept.of(merkle.needed(spans))
    proof = [merkle.part(mine, span) for span in spans]
    assert proof == _subproof(first, leaves, True)
    roots = _root(leaves[:first]), _root(leaves)
    assert merkle.roots_of_consistency(first, second, roots[0], proof) == roots
    forked = [*leaves[: first - 1], sha256(b"another").digest()]
    found = merkle.roots_of_consistency(first, second, _root(forked), proof)
    assert found != (_root(forked), roots[1])
    with pytest.raises(ValueError, match="has"):
        merkle.roots_of_consistency(first, second, roots[0], [*proof, merkle.EMPTY])


@pytest.mark.parametrize(("first", "second"), [(0, 5), (6, 5)])
def test_no_tree_goes_on_from_a_larger_one(first: int, second: int) -> None:
    with pytest.raises(ValueError, match="goes on"):
        merkle.consistency(first, second)


@settings(deadline=None)
@given(st.lists(st.integers(0, 70), max_size=6))
def test_many_leaves_are_added_as_one_by_one(parts: list[int]) -> None:
    one, many, number = merkle.Growing(), merkle.Growing(), 0
    for part in parts:
        leaves = [sha256(bytes([n % 256])).digest() for n in range(number, number + part)]
        number += part
        for leaf in leaves:
            one.add(leaf)
        many.extend(leaves)
        assert (many.size, many.root()) == (one.size, one.root())
