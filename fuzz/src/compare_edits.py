"""Says of each edit that stands on a line of its own whether PyYAML reads the text after it as it was meant."""

import json
import sys

import yaml


def compare(case):
    try:
        meant = yaml.safe_load(case["before"])
        yaml.safe_load(case["before"])
    except Exception:
        return None  # PyYAML could not read it before, either
    for edit in case["edits"]:
        meant = put(meant, edit["path"], edit)
    try:
        found = yaml.safe_load(case["after"])
    except Exception as error:
        return str(error)
    if meant == found or repr(meant) == repr(found):
        return None
    return f"meant {meant!r}, found {found!r}"


for line in sys.stdin:
    print(json.dumps(compare(json.loads(line))), flush=True)
