"""Prints the cases in which PyYAML does not read an edited text as the text before with the edit made."""

import json
import sys

import yaml

wrong = []
for case in json.load(sys.stdin):
    try:
        yaml.safe_load(case["before"])
    except yaml.YAMLError:
        continue  # PyYAML could not read it before, either
    try:
        meant = yaml.safe_load(case["before"])
        for edit in case["edits"]:
            meant = put(meant, edit["path"], edit)
        found = yaml.safe_load(case["after"])
    except yaml.YAMLError as error:
        wrong.append(f"{case['name']}: {error}")
        continue
    if json.dumps(meant, default=str) != json.dumps(found, default=str) and meant != found:
        wrong.append(f"{case['name']}: meant {meant!r}, found {found!r}")
print(json.dumps(wrong))
