"""The site is built without a warning, every rule has its address, and it works from a disk."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from itertools import pairwise

import pytest
import site_pages
from browser import Browser
from requires import requires
from site_parts import TOP

from memslots.explain.causes.catalogue import CAUSES
from memslots.explain.finding_kinds import KINDS
from memslots.kernel.names import find
from memslots.rules.catalogue import all_rules
from memslots.rules.presence import surveyed
from memslots.views import links
from memslots.views.cause_page import cause_sections
from memslots.views.kernel_page import kernel_lines

LACKING = [name for name in ("sphinx", "myst_parser", "furo") if find_spec(name) is None]
needs_sphinx = pytest.mark.skipif(
    bool(LACKING), reason=f"not installed: {', '.join(LACKING)} (pip install -e '.[site]')"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site") / "site"
    program = TOP / "website" / "site_build.py"
    done = subprocess.run(
        [sys.executable, str(program), "--no-playground", str(out)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == f"{out}/index.html"
    return out


@pytest.fixture(scope="module")
def pages():
    return site_pages.pages()


def words(text):
    return set(re.findall(r"\w{3,}", text))


def test_every_id_has_an_address(pages, monkeypatch):
    monkeypatch.setattr(links, "SITE", "https://example.org")
    for each in [*(rule.id for rule in all_rules()), *CAUSES, *KINDS]:
        assert links.rule_link(each) == f"https://example.org/rules/{each}.html"
        assert f"rules/{each}.md" in pages
    for profile in surveyed():
        assert f"kernels/{profile.name.replace('/', '-')}.md" in pages
    x86 = [str(profile.version) for profile in surveyed() if profile.arch.name == "x86_64"]
    for before, after in pairwise(x86):
        assert f"diff/{before}-{after}.md" in pages


@pytest.mark.parametrize("name", ["6.1/x86_64", "debian-12/i386", "4.19/s390x", "7.2/riscv64"])
def test_a_kernel_page_says_what_the_command_says(pages, name):
    assert words("\n".join(kernel_lines(find(name)))) <= words(pages[f"kernels/{name}.md".replace(
        "/x", "-x").replace("/i", "-i").replace("/s", "-s").replace("/r", "-r")])  # fmt: skip


def test_a_cause_page_says_what_the_command_says(pages):
    for cause in CAUSES.values():
        for heading, text in cause_sections(cause):
            assert words(f"{heading} {text}") - {"amp"} <= words(pages[f"rules/{cause.id}.md"])


def test_ids_are_links_and_markup_is_text():
    text = site_pages.linked("<b> `a<b` and slot-overlap, not xslot-overlap", "../")
    assert text == (
        "&lt;b&gt; <code>a&lt;b</code> and "
        '<a href="../rules/slot-overlap.html">slot-overlap</a>, not xslot-overlap'
    )


@needs_sphinx
def test_it_is_built(site, pages):
    for name in pages:
        assert (site / name).with_suffix(".html").is_file(), name


@needs_sphinx
def test_it_lies_anywhere(site):
    for page in site.rglob("*.html"):
        assert not re.search(r'\b(?:href|src)="/', page.read_text(encoding="utf-8")), page


def test_a_broken_link_is_found(tmp_path):
    site_build = pytest.importorskip("site_build")
    (tmp_path / "a.html").write_text(
        '<p id="here"><a href="b.html">no</a><a href="#here">yes</a><a href="#there">no</a>'
        '<a href="https://example.org/">not ours</a><img src="https://example.org/x.png">'
    )
    assert sorted(site_build.broken_links(tmp_path)) == [
        "a.html: #there is not there",
        "a.html: b.html is not there",
        "a.html: would load https://example.org/x.png",
    ]


@needs_sphinx
@requires("chromium")
def test_the_search_works_from_a_disk(site):
    with Browser() as browser:
        page = browser.open(f"file://{site}/search.html?q=metadata-allocation")
        found = "[...document.querySelectorAll('#search-results a')].map(each => each.href)"
        page.until(f"{found}.length")
        assert any("rules/metadata-allocation.html" in link for link in page.value(found))
        outside = [url for url in page.requests() if not url.startswith(("file:", "data:"))]
        assert outside == []
