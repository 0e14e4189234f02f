"""The playground in a real browser: it shows what the terminal shows, whatever is pasted."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import zlib

import pytest
from browser import Browser, served
from requires import requires
from site_parts import TOP, made_playground, site_playground
from strace_lines import EEXIST, MIB, region, vm

pytestmark = requires("chromium")

OVERLAP = (TOP / "examples/refused-overlap.strace").read_text()
HOSTILE = (
    "</textarea></pre><script>document.title='taken'</script><img src=x onerror=document.title=1>"
    "\x1b]0;taken\x07\x1b[2J\x1b[31mred \u202e\u0000\r&lt;b&gt;\n"
)
PASTES = {
    **{
        name: site_playground.example_text(TOP / path)
        for name, path in site_playground.EXAMPLES.items()
    },
    "prose": "the VM does not start\n",
    "nothing": "",
    "a layout": (TOP / "examples/layouts/pc.toml").read_text(),
    "a message among hostile text": f"{HOSTILE}{region(1, 0, MIB, result=EEXIST)} {HOSTILE}",
    "hostile text alone": HOSTILE,
}
TEN_MB = 10 * 10**6
PATIENCE_SECONDS = 60


@pytest.fixture(scope="module")
def playground(tmp_path_factory):
    return made_playground(tmp_path_factory.mktemp("site") / "playground")


@pytest.fixture(scope="module")
def site(playground):
    with served(playground.parent) as found:
        yield found


@pytest.fixture(scope="module")
def page(site):
    with Browser() as browser:
        page = browser.open(site[0] + "playground/index.html")
        page.until("document.getElementById('state')?.textContent === 'ready'")
        yield page


def pasted(page, text, kernel=""):
    """(output, errors, exit code) that the page shows of a paste."""
    page.value(
        f"document.getElementById('paste').value = {json.dumps(text)};"
        f"document.getElementById('kernel').value = {json.dumps(kernel)};"
        "document.getElementById('go').click()"
    )
    page.until("!document.getElementById('answer').hidden")
    shown = "['out', 'err', 'code'].map(id => document.getElementById(id).textContent)"
    out, err, code = page.value(shown)
    page.until("document.getElementById('state').textContent === 'done'")
    return out, err, int(code.removeprefix("exit code "))


def terminal(command, text, *options):
    """The same of the terminal."""
    done = subprocess.run(
        [sys.executable, "-m", "memslots", command, *options, "-"], input=text.encode(),
        capture_output=True, check=False, cwd=TOP,
        env={"PYTHONPATH": "src", "NO_COLOR": "1", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    return done.stdout.decode(), done.stderr.decode(), done.returncode


@pytest.mark.parametrize("name", PASTES)
def test_it_says_what_the_terminal_says(page, name):
    text = PASTES[name].replace("\r", "\n").replace("\0", "")  # as a field of a form has it
    assert pasted(page, text) == terminal("explain", text)


@pytest.mark.parametrize("kernel", ["5.10/i386", "6.1.0-18-amd64", "6.1/x86", "--help", "<b>"])
def test_a_stated_kernel(page, kernel):
    assert pasted(page, OVERLAP, kernel) == terminal("explain", OVERLAP, f"--kernel={kernel}")


def test_a_narrow_page_has_lines_that_fit(page):
    size = {"width": 390, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    page.call("Emulation.setDeviceMetricsOverride", **size)
    try:
        out, _, _ = pasted(page, OVERLAP)
        said = page.value("document.getElementById('command').textContent")
        assert page.value("document.documentElement.scrollWidth") <= 390
    finally:
        page.call("Emulation.clearDeviceMetricsOverride")
    columns = int(re.fullmatch(r"memslots explain --width=(\d+) -", said)[1])
    assert 32 <= columns < 60
    assert out == terminal("explain", OVERLAP, f"--width={columns}")[0]
    assert max(map(len, out.splitlines())) <= columns


def test_a_file_is_read_as_it_is(page):
    data = zlib.compress(OVERLAP.encode(), wbits=31)
    page.value(
        f"const list = new DataTransfer(); list.items.add(new File([new Uint8Array({list(data)})],"
        "'vmm.strace.gz')); document.getElementById('file').files = list.files;"
        "document.getElementById('kernel').value = ''; document.getElementById('go').click()"
    )
    page.until("document.getElementById('state').textContent === 'done'")
    assert page.value("document.getElementById('out').textContent") == terminal(
        "explain", OVERLAP
    )[0]  # fmt: skip
    page.value("document.getElementById('file').value = ''")


def test_the_map_and_the_report_are_those_of_the_commands(page):
    pasted(page, OVERLAP)
    drawn = terminal("map", OVERLAP, "--svg=-")[0]
    assert page.value("shown.map") == drawn
    assert page.value("shown.report") == terminal("report", OVERLAP, "--title=pasted")[0]
    for name, rights in (("map", ""), ("report", "allow-scripts")):
        page.value(f"document.querySelector('[data-tab={name}]').click()")
        assert page.until(f"document.querySelector('#{name} iframe')?.clientHeight") > 100
        assert page.value(f"document.querySelector('#{name} iframe').sandbox.value") == rights
    looks = {
        "document.querySelectorAll('svg rect').length > 3": "map",
        "document.querySelectorAll('#tools input[type=range]').length > 0": "report",
    }
    end = time.monotonic() + PATIENCE_SECONDS
    while len(page.attached("iframe")) < len(looks) and time.monotonic() < end:
        time.sleep(0.1)
    frames = page.attached("iframe")
    for look in looks:  # the report's script has run, and nothing else may
        assert any(page.value(look, session) for session in frames), look
    page.value("document.querySelector('[data-tab=map]').click()")
    light, dark = page.picture(1000, 900), page.picture(1000, 900, is_dark=True)
    assert light != dark
    assert min(len(light), len(dark)) > 20_000


def test_hostile_text_does_nothing(page):
    pasted(page, HOSTILE + "\n".join([vm(), region(0, 0, MIB), region(1, 0, MIB, result=EEXIST)])
           + f" {HOSTILE}")  # fmt: skip
    assert page.value("document.title") == "memslots playground"
    assert page.value("document.querySelectorAll('img, #out script, #err script').length") == 0
    assert (
        page.value("document.querySelectorAll('#out :not(span, a[href^=\"../rules/\"])').length")
        == 0
    )
    assert "<img" not in page.value("shown.report")
    for name in ("map", "report"):
        page.value(f"document.querySelector('[data-tab={name}]').click()")
    page.value("new Promise(done => setTimeout(done, 300))")
    assert page.value("document.title") == "memslots playground"


def test_ten_megabytes(page):
    """The page answers while the worker reads, and the answer is the terminal's."""
    line = "x" * 99 + "\n"
    text = line * (TEN_MB // 200) + OVERLAP + "\x1b" * (TEN_MB // 2)
    page.value(
        f"document.getElementById('paste').value = {json.dumps(line)}.repeat({TEN_MB // 200})"
        f" + {json.dumps(OVERLAP)} + '\\x1b'.repeat({TEN_MB // 2});"
        "document.getElementById('kernel').value = ''; document.getElementById('go').click()"
    )
    assert page.value("1 + 1") == 2
    page.until("!document.getElementById('answer').hidden")
    assert page.value("document.getElementById('out').textContent") == terminal("explain", text)[0]
    page.until("document.getElementById('state').textContent === 'done'")


def test_it_can_be_stopped(page):
    step = region(0, 0, MIB)
    page.value(
        f"document.getElementById('paste').value = {json.dumps(vm() + chr(10))} + "
        f"{json.dumps(step + chr(10))}.repeat(60000); document.getElementById('go').click()"
    )
    page.value("document.getElementById('stop').click()")
    page.until("document.getElementById('state').textContent === 'ready'")
    assert pasted(page, OVERLAP) == terminal("explain", OVERLAP)


def test_it_reaches_its_own_site_alone(site, page, tmp_path):
    """Also from the worker, where the policy of a page does not hold by itself."""
    (tmp_path / "a").write_text("secret")
    reach = "fetch('{}').then(answer => 'reached', error => 'refused')"
    with served(tmp_path) as (elsewhere, asked):
        session = page.attached("worker")[-1]
        page.browser.call("Runtime.enable", session)
        for where in (None, session):
            assert page.value(reach.format(f"{elsewhere}a"), where) == "refused"
            assert page.value(reach.format(f"{site[0]}playground/index.html"), where) == "reached"
        assert page.value(f"navigator.sendBeacon('{elsewhere}a')") in (True, False)
        page.value("new Promise(done => setTimeout(done, 200))")
        assert asked == []
    ours = re.compile(rf"(blob:)?{re.escape(site[0])}|data:|about:")
    assert [url for url in page.requests() if not ours.match(url) and elsewhere not in url] == []


def test_kernels_to_choose_from(page):
    names = page.value("[...document.querySelectorAll('#kernels option')].map(each => each.value)")
    assert {"7.2/x86_64", "4.19/mips", "debian-12/i386"} <= set(names)
    assert page.value("document.getElementById('codes').textContent").startswith("Exit codes: 0 ")


def test_opened_as_a_file_it_says_what_to_do(page, playground):
    other = page.browser.open(f"file://{playground}/index.html")
    assert "http.server" in other.until(
        "(text => text !== 'loading…' && text)(document.getElementById('state')?.textContent)"
    )
