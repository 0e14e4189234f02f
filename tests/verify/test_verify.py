"""The differential run: it agrees here, finds what differs, and shrinks it."""

from __future__ import annotations

import json

import pytest
from requires import requires

from memslots.cli.main import main
from memslots.trace.event import Event
from memslots.verify.shrink import shrink
from memslots.verify.verify import verify

pytestmark = requires("kvm")


def test_the_model_agrees_with_the_kernel(tmp_path, capsys):
    assert (
        main(
            ["verify", "--operations", "3000", "--seed", "11", "--json", "--folder", str(tmp_path)]
        )
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert (found["seed"], found["differed"], found["disagreements"]) == (11, 0, [])
    assert found["operations"] >= 3000
    assert {"0", "22", "17", "2"} <= set(found["answers"])


def test_a_seed_gives_the_same_calls_again():
    from memslots.verify.verify import verify

    once, again = (verify(operations=1500, seed=5) for _ in range(2))
    assert (once.calls, once.answers) == (again.calls, again.answers)


def test_another_kernel_is_found_out_in_few_calls(tmp_path, capsys):
    told = "verify --operations 20000 --seed 1 --kernel 5.10/x86_64+pvm-tdp --folder"
    code = main([*told.split(), str(tmp_path)])
    assert code == 1
    assert "the model says" in capsys.readouterr().out
    recordings = sorted(tmp_path.glob("*.jsonl"))
    assert recordings
    assert all(len(path.read_text().splitlines()) <= 4 for path in recordings)
    # what the kernel answered is in the file, so that kernel's own profile agrees with it
    assert all(main(["live", "run", str(path)]) == 0 for path in recordings)
    assert list(tmp_path.glob("*.c"))


class FakeStep:
    def __init__(self, event, verdict):
        self.event, self.verdict = event, verdict


def test_shrinking_keeps_what_matters():
    """A disagreement that needs call 7 before call 31, and field a of the latter."""

    def play(events):
        steps, armed = [], False
        for event in events:
            armed = armed or event.call == "7"
            differs = armed and event.call == "31" and event.fields["a"]
            steps.append(FakeStep(event, "differed" if differs else "agreed"))
            if differs:
                break
        return steps

    def play_all(candidates):
        return ((number, play(candidate)) for number, candidate in enumerate(candidates))

    events = [Event(str(number), {"a": 1, "b": number}) for number in range(40)]
    shortest = shrink(events, play_all)
    assert [(step.event.call, dict(step.event.fields)) for step in shortest] == [
        ("7", {"a": 0, "b": 0}),
        ("31", {"a": 1, "b": 0}),
    ]
    assert shrink(events[:30], play_all) == []


def test_no_device_is_told(tmp_path, capsys):
    assert main(["verify", "--device", str(tmp_path / "none"), "--kernel", "6.1/x86_64"]) == 4
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    "amount", [{"operations": 0}, {"operations": -5}, {"seconds": 0}, {"seconds": float("nan")}]
)
def test_a_run_that_compares_nothing_is_refused(amount):
    with pytest.raises(ValueError, match="above 0"):
        verify(**amount)
