"""The review page as one self-contained file that can be read, and nothing else.

Scripts, styles, NiiVue and data stand in the page itself, and its policy allows no
address at all: whoever opens it asks nobody for anything.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

_FIRST = "main.js"
_STYLES = ("base.css", "worklist.css", "case.css")

_IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./(\w+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?(?:function|class|const) (\w+))", re.MULTILINE)


def static_page(data: Mapping[str, Any]) -> str:
    """Put the page and its data into one HTML file.

    Args:
        data: `session`, `worklist` ({rows}), `cases` (answers by `<out>/<case_id>`) and
            `files` (base64 by address, without what follows the question mark).
    """
    web = Path(str(resources.files("diascope.viewer"))) / "web"
    style = "\n".join((web / "css" / name).read_text(encoding="utf-8") for name in _STYLES)
    library = web / "vendor" / "niivue.umd.js"
    scripts = [library.read_text(encoding="utf-8")] if library.is_file() else []
    scripts.append(joined_modules(web / "js"))
    # In a block of JSON no tag may begin: `<` is spelled so that it cannot.
    block = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    policy = (
        "default-src 'none'; img-src data: blob:; connect-src data: blob:; base-uri 'none'; form-action 'none';"
        f" style-src {_digest(style)}; script-src {' '.join(_digest(script) for script in scripts)}"
    )
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8" />',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}" />',
            '<meta name="viewport" content="width=device-width, initial-scale=1" />',
            '<meta name="referrer" content="no-referrer" /><title>diascope</title>',
            f'<link rel="icon" href="data:," /><style>{style}</style></head>',
            '<body><div id="app"></div>',
            f'<script type="application/json" id="diascope-export">{block}</script>',
            *(f"<script>{script}</script>" for script in scripts),
            "</body></html>",
        ]
    )


def joined_modules(folder: Path) -> str:
    """Join the page's modules into one script: each becomes a function that is called once, in order of need.

    A module in a file of its own cannot be imported from a page on disk.
    """
    parts = ['"use strict";']
    for name in _in_order(folder):
        text = (folder / name).read_text(encoding="utf-8")
        exported = ", ".join(found[1] for found in _EXPORT.findall(text))
        text = _IMPORT.sub(lambda found: f"const {found[1]} = module_{found[2]};", text)
        text = _EXPORT.sub(r"\1", text)
        parts.append(f"const module_{name[:-3]} = (() => {{\n{text}\nreturn {{ {exported} }};\n}})();")
    return "\n".join(parts)


def _in_order(folder: Path) -> list[str]:
    """List modules so that each stands after those it imports."""
    ordered: list[str] = []

    def add(name: str) -> None:
        if name in ordered:
            return
        for found in _IMPORT.findall((folder / name).read_text(encoding="utf-8")):
            add(f"{found[1]}.js")
        ordered.append(name)

    add(_FIRST)
    return ordered


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
