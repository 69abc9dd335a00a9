"""run.json tells how results came about, and names nobody."""

import json

from diascope.config import parse_settings
from diascope.run.record import told_settings
from diascope.run.settings import RunConfig

NAMING = {
    "bundles": [
        {
            "name": "/home/MEYER/nets/glioma",
            "ensemble": ["./MEYER/other"],
            "calibration": "/scans/MEYER/calibration.json",
            "select": {
                "file_name": {"include": ["^MEYER_anna"]},
                "any_of": [{"file_name": {"exclude": ["MEYER"]}, "modality": ["MR"]}],
                "description": {"include": ["flair"]},
            },
        }
    ],
    "identity": {"key_file": "/home/MEYER/key"},
    "models": {"dir": "/home/MEYER/models"},
    "tracking": {"uri": "https://MEYER:secret@host/", "experiment": "on https://meyer:MEYER@host"},
    "ingest": {"release": [{"file": "file-1", "reason": "MEYER looked at it"}]},
}


def test_the_record_of_a_run_tells_no_path_no_password_and_no_pattern_of_file_names() -> None:
    told = told_settings(parse_settings(RunConfig, NAMING))

    assert "MEYER" not in json.dumps(told)
    (use,) = told["bundles"]
    assert (use["name"], use["ensemble"], use["calibration"]) == ("glioma", ["other"], "calibration.json")
    assert use["select"]["file_name"].startswith("not told")
    assert use["select"]["description"]["include"] == ["flair"]
    assert told["tracking"]["experiment"] == "on https://host"


def test_a_rule_without_patterns_of_file_names_is_told_whole() -> None:
    told = told_settings(parse_settings(RunConfig, {"bundles": [{"name": "glioma"}]}))

    assert told["bundles"][0]["select"]["file_name"] == {"include": [], "exclude": []}
