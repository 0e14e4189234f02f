"""The report as a page: nothing is loaded, every link leads somewhere, names are text."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from strace_lines import EEXIST, EINVAL, MIB, RAM, region, vcpu, vm

from memslots.explain.analysis import Analysis
from memslots.kernel.names import find
from memslots.views.html_report import HtmlReport

TOP = Path(__file__).parents[2]
RECORDINGS = sorted((TOP / "examples" / "recordings").iterdir())
REFUSED = TOP / "examples" / "refused-overlap.strace"
VOID = {"meta", "input", "br"}


class Page(HTMLParser):
    """What a browser would see: elements in balance, ids, links, text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.names = [], [], [], []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self._met(tag, attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self._met(tag, attributes)

    def _met(self, tag, attributes):
        self.names.append(tag)
        given = dict(attributes)
        assert not any(name.startswith("on") or name == "src" for name in given)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if "href" in given else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.text += text


def report(source, kernel=None, title="a title", **options):
    analysis = Analysis(source, kernel and find(kernel), most=options.pop("most", 50))
    return HtmlReport(analysis).run().html(title, **options)


def of(*lines, **options):
    return report("\n".join(lines).encode(), "6.1/x86_64", **options)


@pytest.mark.parametrize(
    "path", [*RECORDINGS, REFUSED], ids=lambda path: path.name
)  # fmt: skip
def test_every_recording_has_a_page_whose_links_lead_somewhere(path):
    page = Page(report(str(path)))
    assert len(page.ids) == len(set(page.ids))
    assert {link for link in page.links if link[1:] not in page.ids} == set()
    assert {link[:1] for link in page.links} == {"#"}
    assert page.names.count("script") == 1


def test_a_refusal_can_be_linked_to_and_is_explained():
    text = report(str(REFUSED))
    page = Page(text)
    assert {"step-5", "why-5", "step-6", "why-6", "map-1"} <= set(page.ids)
    for said in ("slot-overlap", "made at step 3", "if slot 0 is deleted first", "as recorded"):
        assert said in page.text
    assert "EEXIST slot-overlap" in text.split("</svg>")[0]


def test_the_matrix_says_who_refuses_what_was_accepted():
    # older kernels have 509 slots
    page = Page(of(vm(), region(600, 0, MIB), region(1, MIB, MIB, RAM + MIB)))
    assert "Calls that were accepted here, and that other releases refuse" in page.text
    assert "slot-id-too-high" in page.text
    assert "\u2717" in page.text


def test_the_page_has_kernels_vms_cost_and_what_was_not_read():
    page = Page(report(str(TOP / "examples/recordings/qemu72-q35-lifecycle.strace")))
    assert {"explanations", "map", "findings", "kernels", "vms", "cost", "steps"} <= set(page.ids)
    assert "none refused, none surprising" in page.text
    assert "In all" in page.text


HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


def test_hostile_recordings_are_text():
    lines = [
        vm(),
        region(0, 0, MIB),
        region(1, 0, MIB, result=EEXIST) + f" /* {HOSTILE} */",
        f"qemu-system-x86_64: kvm_set_user_memory_region: {HOSTILE} failed: Invalid argument",
    ]
    text = of(*lines, title=HOSTILE)
    page = Page(text)
    assert page.names.count("script") == 1
    assert page.names.count("img") == 0
    assert text.count("alert(1)") >= 2  # the title, and the line as it was recorded


def test_hostile_names_of_processes_and_files(tmp_path):
    path = tmp_path / "<b onclick=x>.jsonl"
    path.write_text(
        '{"schema":"memslots.recording/1"}\n'
        '{"call":"KVM_CREATE_VM","process":"<script>x</script>","new_fd":4,"result":4,"fd":3,'
        '"fields":{"type":0}}\n'
        '{"call":"KVM_SET_USER_MEMORY_REGION","process":"<script>x</script>","fd":4,"result":-22,'
        '"fields":{"slot":0,"flags":0,"guest_phys_addr":1,"memory_size":4096,'
        '"userspace_addr":4096}}\n'
    )
    page = Page(report(str(path), title=str(path)))
    assert page.names.count("script") == 1
    assert page.names.count("b") == 5  # the numbers at the head, no name of a file


def test_control_characters_do_not_reach_the_page():
    text = of(vm(), region(0, 0, MIB), region(1, 0, MIB, result=EEXIST) + " \x00\x1b[31m\x07")
    assert not re.search("[\x00\x07\x1b]", text)


def long_run(calls):
    lines = [vm(), vcpu(0, 5)]
    for number in range(calls // 2):
        gpa = number % 50 * MIB
        lines += [region(number % 50, gpa, MIB, RAM + gpa), region(number % 50, gpa, 0)]
        if number % 100 == 7:
            lines.append(region(3, gpa + 1, MIB, result=EINVAL))
    return lines


def test_a_long_recording_is_limited_and_says_so():
    one, more = (of(*long_run(calls)) for calls in (8000, 32000))
    page = Page(more)
    assert "left out: here are the first 700" in page.text
    assert len(more) < 2 * len(one)
    assert " and 154 more" in page.text  # 160 calls are refused alike, six are named
    assert "step-2" in page.ids
    steps = [int(name[5:]) for name in page.ids if name.startswith("step-")]
    assert steps == sorted(steps)
    assert max(steps) > 32000
    assert {link for link in page.links if link[1:] not in page.ids} == set()


def test_an_explained_call_is_in_the_table_wherever_it_stands():
    lines = [*long_run(4000), region(9, 0x1000, 0x1001, result=EINVAL), *long_run(4000)[2:]]
    page = Page(of(*lines))
    (number,) = (
        number for number, line in enumerate(lines, 1) if "memory_size=4097" in line
    )  # fmt: skip
    assert {f"step-{number}", f"why-{number}"} <= set(page.ids)


def test_what_was_read_before_a_break_is_on_the_page():
    analysis = Analysis(
        "\n".join([vm(), region(0, 0, MIB), region(1, 0, MIB, result=EEXIST)]).encode(),
        find("6.1/x86_64"),
    )
    made = HtmlReport(analysis)
    for number, (step, explanation) in enumerate(analysis.run(), 1):
        made.lives.see(step, analysis.replay.tracked.vm)
        made.table.see(step, is_explained=explanation is not None)
        if number == 2:
            break
    assert "step-2" in Page(made.html("half")).ids
