"""Paragraphs are filled as `textwrap` fills them, which takes longer to load than to use."""

from __future__ import annotations

import textwrap

from hypothesis import given
from hypothesis import strategies as st

from memslots.views.text import _filled

WORDS = st.text(alphabet="ab-. \t\n,()", max_size=120)


@given(WORDS, st.integers(min_value=1, max_value=40))
def test_it_fills_as_textwrap_does(text, width):
    expected = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    assert _filled(text, width) == expected
