"""The stories of `stories/`: every kernel of each gives exactly the answers written there.

    MEMSLOTS_REWRITE_STORIES=1 pytest tests/test_stories.py

writes the answers that the model gives now into the files: read the difference.
"""

from __future__ import annotations

import glob
import os

import pytest
from story import StoryError, read_stories, rewritten

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "stories")
FILES = sorted(glob.glob(os.path.join(FOLDER, "*.txt")))
REWRITE = bool(os.environ.get("MEMSLOTS_REWRITE_STORIES"))
STORIES = [story for path in FILES for story in read_stories(path)]

VECTORS = 157
"""Test vectors of the specification, numbered from 1."""
NOT_OF_THE_MODEL = {
    126: "fallocate() of a guest_memfd is a call of the file, not of the VM",
    127: "mmap() and ftruncate() of a guest_memfd are calls of the file, not of the VM",
}


@pytest.mark.parametrize("story", STORIES, ids=[story.id for story in STORIES])
def test_story(story):
    kernels = story.kernels()
    assert kernels, "no kernel fits the vm lines"
    wanted = [block.answers for block in story.blocks]
    for kernel, vm_type in kernels:
        if REWRITE and (kernel, vm_type) == kernels[0]:
            continue
        given = story.run(kernel, vm_type)
        for block, want, got in zip(story.blocks, wanted, given):
            for command, *pair in zip(block.commands, want, got):
                assert pair[0] == pair[1], (
                    f"{story.path}:{block.line}: {kernel} type {vm_type}: {command}"
                )
            assert len(want) == len(got), f"{story.path}:{block.line}: one answer a command"


if REWRITE:

    @pytest.mark.parametrize("path", FILES, ids=[os.path.basename(path) for path in FILES])
    def test_rewrite(path):
        with open(path, encoding="utf-8") as opened:
            text = opened.read()
        new = "\n".join(rewritten(text.splitlines(), read_stories(path))) + "\n"
        if new != text:
            with open(path, "w", encoding="utf-8") as out:
                out.write(new)


def test_every_vector_is_told():
    told = set().union(*(story.vectors for story in STORIES))
    assert told <= set(range(1, VECTORS + 1))
    assert not told & set(NOT_OF_THE_MODEL)
    assert told | set(NOT_OF_THE_MODEL) == set(range(1, VECTORS + 1))


def test_a_wrong_answer_fails(tmp_path):
    path = tmp_path / "wrong.txt"
    path.write_text(
        "# Creates.\nvm 6.1/x86_64\n\nset slot 0 npages 1 hva H\n----\nEEXIST slot-overlap\n"
    )
    (story,) = read_stories(str(path))
    assert story.run("6.1/x86_64", 0) == [["0"]] != [block.answers for block in story.blocks]
    assert rewritten(path.read_text().splitlines(), [story])[-1] == "0"


def test_a_bad_story_says_where(tmp_path):
    path = tmp_path / "bad.txt"
    for text in (
        "",
        "# no kernel\n\ntotal\n----\n0\n",
        "vm 6.1/x86_64\n\ntotal\n----\n0\n",
        "# a\nvm x\n\ntotal\n\n",
    ):
        path.write_text(text)
        with pytest.raises(StoryError, match=r"bad\.txt:\d+"):
            read_stories(str(path))
