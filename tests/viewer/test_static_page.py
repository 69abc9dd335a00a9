"""One file that holds the page and its data, and may ask nobody for anything."""

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest

from diascope.viewer.slices import MAP_COLOURS
from diascope.viewer.static_page import joined_modules, static_page

SCRIPT = re.compile(r"<script(?P<how>[^>]*)>(?P<text>.*?)</script>", re.DOTALL)


@pytest.fixture(scope="module")
def web(repository: Path) -> Path:
    return repository / "pipeline/diascope/viewer/web"


def digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_every_module_is_joined_after_those_it_needs(web: Path) -> None:
    joined = joined_modules(web / "js")

    names = {path.stem for path in (web / "js").glob("*.js")}
    assert len(names) > 20
    defined = re.findall(r"^const module_(\w+) = ", joined, re.MULTILINE)
    assert sorted(defined) == sorted(names)
    assert not re.search(r"^\s*(import|export) ", joined, re.MULTILINE)
    for at, name in enumerate(defined):
        text = joined.split(f"const module_{name} = ", 1)[1].split("\n})();", 1)[0]
        used = set(re.findall(r"= module_(\w+);", text))
        assert used <= set(defined[:at]), name


def test_the_page_paints_maps_in_the_colours_of_the_server(web: Path) -> None:
    text = (web / "js" / "local_maps.js").read_text(encoding="utf-8")

    found = {name: json.loads(stops) for name, stops in re.findall(r"^  (\w+): (\[\[.*\]\]),$", text, re.MULTILINE)}

    assert {name: [tuple(one) for one in stops] for name, stops in found.items()} == {
        name: list(stops) for name, stops in MAP_COLOURS.items()
    }


def test_data_cannot_end_the_script_they_stand_in(web: Path) -> None:
    data = {
        "session": {"reviewer": "</script><script>alert(1)</script>"},
        "worklist": {"rows": []},
        "cases": {},
        "files": {},
    }

    page = static_page(data)

    block = next(found for found in SCRIPT.finditer(page) if "json" in found["how"])
    assert json.loads(block["text"]) == data
    assert "alert(1)</script>" not in page


def test_the_policy_names_every_script_and_style_by_its_digest_and_no_address() -> None:
    page = static_page({"session": {}, "worklist": {"rows": []}, "cases": {}, "files": {}})

    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    scripts = [found["text"] for found in SCRIPT.finditer(page) if "json" not in found["how"]]
    assert scripts
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style
    for text in (*scripts, style[1]):
        assert digest(text) in policy[1]
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]
    assert "http" not in policy[1]
    assert not re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="(?!data:)', page)
