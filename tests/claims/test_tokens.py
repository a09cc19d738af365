"""Tokens go round by renames to names that never were: of all who try the same step, one succeeds."""

import errno
import itertools
import os
from pathlib import Path

import pytest

from multiprocesstools.claims.instance import Instance
from multiprocesstools.claims.peers import Sight
from multiprocesstools.claims.tokens import (
    Busy,
    Purse,
    Token,
    decode_token,
    free_from,
    held_by_the_gone,
    list_tokens,
    read_tokens,
)
from tests.claims.conftest import World
from tests.disks import Faulty, fail_once


def purse(me: Instance) -> Purse:
    return Purse(me, itertools.count(1).__next__)


def place(world: World, name: str = "x") -> str:
    (world.root / "limits").mkdir(exist_ok=True)
    return f"{world.root}/limits/{name}"


def had(answer: Token | Busy) -> Token:
    assert isinstance(answer, Token), answer
    return answer


def refused(answer: Token | Busy) -> Busy:
    assert isinstance(answer, Busy), answer
    return answer


@pytest.mark.parametrize(
    "token",
    [Token(1, 0), Token(12, 345), Token(1, 7, "test-3", 1700000000, 2), Token(1, 7, "a.b-1", 0, 2, True)],
    ids=lambda token: token.name,
)
def test_a_token_is_its_name(token: Token) -> None:
    assert decode_token(token.name) == token


@pytest.mark.parametrize(
    "name", ["of-3", "0-1.free", "1.free", "1-2-3-4", "1-2-3-4.", "1-2.freed", ".1-2.free", "1-2-3-4..", "99999-1.free"]
)
def test_other_names_are_no_tokens(name: str) -> None:
    assert decode_token(name) is None


def test_of_an_old_and_a_new_name_of_one_token_the_new_one_counts_and_what_is_beyond_the_size_does_not() -> None:
    held = Token(1, 6, "test-1", 5, 1)
    seen = read_tokens(["1-5.free", held.name, "of-2", "2-9.free", "3-1.free", "litter"])
    assert (seen.size, seen.tokens) == (2, (held, Token(2, 9)))
    assert read_tokens(["1-1.free"]).tokens == ()


def test_as_many_are_to_be_had_as_there_are_tokens_and_not_one_more(world: World) -> None:
    purses = [purse(world.join()) for _ in range(4)]
    taken = [had(one.try_to_take(place(world), 3)) for one in purses[:3]]
    busy = refused(purses[3].try_to_take(place(world), 3))
    assert {token for token, _ in busy.holders} == set(taken) and len({token.slot for token in taken}) == 3
    assert {verdict.sight for _, verdict in busy.holders} == {Sight.ALIVE}
    assert purses[1].give_back(place(world), taken[1])
    assert had(purses[3].try_to_take(place(world), 3)).slot == taken[1].slot


def test_the_number_of_files_does_not_grow(world: World) -> None:
    mine = purse(world.join())
    for _ in range(50):
        mine.give_back(place(world), had(mine.try_to_take(place(world), 2)))
    assert len(os.listdir(place(world))) == 3 and mine.mine == set()


def test_the_token_of_a_process_that_is_gone_is_taken_at_once_and_a_zombie_cannot_give_it_back(world: World) -> None:
    owner, waiter = world.join(), purse(world.join())
    zombie = purse(owner)
    taken = had(zombie.try_to_take(place(world), 1))
    refused(waiter.try_to_take(place(world), 1))
    world.die(owner)
    again = had(waiter.try_to_take(place(world), 1))
    assert again.generation == taken.generation + 2
    assert zombie.give_back(place(world), taken) is False
    assert list_tokens(owner, place(world)).held == [again]


def test_an_owner_elsewhere_keeps_its_token_while_it_beats_and_loses_it_when_it_was_silent_for_patience(
    world: World,
) -> None:
    owner, waiter = world.join(boot="elsewhere"), world.join()
    had(purse(owner).try_to_take(place(world), 1))
    mine = purse(waiter)
    for beats in (True, False):
        for _ in range(11):
            answer = mine.try_to_take(place(world), 1)
            if isinstance(answer, Token):
                break
            world.clock.sleep(1)
            waiter.beat()
            if beats:
                owner.beat()
        assert isinstance(answer, Busy if beats else Token)


def test_a_token_of_a_removed_record_is_free(world: World) -> None:
    owner = world.join(boot="elsewhere")
    had(purse(owner).try_to_take(place(world), 1))
    refused(purse(world.join()).try_to_take(place(world), 1))
    os.unlink(owner.path)
    had(purse(world.join()).try_to_take(place(world), 1))


def test_two_that_judge_the_same_owner_free_its_token_once(world: World) -> None:
    owner, first, second = world.join(), world.join(), world.join()
    token = had(purse(owner).try_to_take(place(world), 1))
    world.die(owner)
    [seen] = held_by_the_gone(first, place(world))
    assert held_by_the_gone(second, place(world)) == [seen]
    free_from(first, place(world), *seen)
    taken = had(purse(first).try_to_take(place(world), 1))
    free_from(second, place(world), *seen)  # it has judged before, and comes too late
    assert list_tokens(second, place(world)).held == [taken] and taken.generation == token.generation + 2


def test_a_take_whose_answer_was_lost_is_recognised(world: World) -> None:
    disk = Faulty()
    mine = purse(world.join(disk))
    mine.give_back(place(world), had(mine.try_to_take(place(world), 1)))
    fail_once(disk, "rename", OSError(errno.EIO, "no answer"), moment="after")
    assert had(mine.try_to_take(place(world), 1)) in mine.mine


def test_a_token_that_is_ours_by_a_lost_answer_only_is_freed_by_us(world: World) -> None:
    me = world.join()
    had(purse(me).try_to_take(place(world), 1))
    had(purse(me).try_to_take(place(world), 1))  # another purse, which knows nothing of the first


def test_another_size_makes_way_when_nobody_has_a_token_and_is_refused_when_somebody_has(world: World) -> None:
    one, other = purse(world.join()), purse(world.join())
    taken = had(one.try_to_take(place(world), 3))
    busy = refused(other.try_to_take(place(world), 2))
    assert busy.size == 3 and [token for token, _ in busy.holders] == [taken]
    one.give_back(place(world), taken)
    had(other.try_to_take(place(world), 2))
    assert list_tokens(one.me, place(world)).size == 2
    assert sorted(os.listdir(world.root / "limits")) == ["x"]


def test_making_way_for_another_size_survives_a_lost_answer(world: World) -> None:
    disk, directory = Faulty(), place(world)
    mine = purse(world.join(disk))
    mine.give_back(directory, had(mine.try_to_take(directory, 1)))
    lost = FileNotFoundError(errno.ENOENT, "gone")
    fail_once(disk, "rename", lost, moment="after", when=lambda old, _: old == directory)
    had(mine.try_to_take(directory, 2))
    assert os.listdir(world.root / "limits") == ["x"]


def test_a_link_in_the_place_of_the_tokens_is_not_followed(world: World) -> None:
    mine = purse(world.join())
    mine.give_back(place(world), had(mine.try_to_take(place(world), 1)))
    before = os.listdir(place(world))
    os.symlink(place(world), place(world, "y"))
    with pytest.raises(OSError, match="symbolic link"):
        purse(world.join()).try_to_take(place(world, "y"), 1)
    assert os.listdir(place(world)) == before


def test_what_is_planted_among_the_tokens_is_left_alone(world: World) -> None:
    mine = purse(world.join())
    mine.give_back(place(world), had(mine.try_to_take(place(world), 1)))
    planted = Path(place(world), "notes.txt")
    planted.write_text("of a person")
    had(mine.try_to_take(place(world), 1))
    assert planted.read_text() == "of a person"
