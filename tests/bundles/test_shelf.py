"""What is dear to make is made once, and memory has an end."""

import pytest

from diascope.bundles.shelf import Shelf


def made_by(shelf: Shelf[str], keys: str) -> str:
    """Ask for each key; give those that had to be made."""
    made = []
    for key in keys:

        def make(key: str = key) -> str:
            made.append(key)
            return key

        assert shelf.get(key, make) == key
    return "".join(made)


def test_networks_asked_in_turn_are_made_once_however_many_they_are() -> None:
    assert made_by(Shelf(1000, lambda _: 1), "abcdefghij" * 3) == "abcdefghij"


def test_what_was_not_used_for_longest_goes_when_all_outweighs_the_budget() -> None:
    shelf: Shelf[str] = Shelf(30, lambda _: 10)

    assert made_by(shelf, "abc" + "a" + "d") == "abcd"  # b was not used for longest, and goes
    assert made_by(shelf, "acd") == ""
    assert made_by(shelf, "b") == "b"


def test_one_that_is_heavier_than_the_budget_is_kept_until_the_next_comes() -> None:
    shelf: Shelf[str] = Shelf(5, lambda _: 10)

    assert made_by(shelf, "aaba") == "aba"


def test_what_could_not_be_made_is_tried_again() -> None:
    shelf: Shelf[str] = Shelf(5, lambda _: 1)

    def fails() -> str:
        raise OSError("no disk")

    for _ in range(2):
        with pytest.raises(OSError, match="no disk"):
            shelf.get("a", fails)
    assert made_by(shelf, "a") == "a"
