"""Says of each edit that stands on a line of its own whether PyYAML reads the text after it as it was meant."""

import json
import sys

import yaml


def put(value, path, edit):
    first, rest = path[0], path[1:]
    if not isinstance(value, dict):
        if edit["gone"]:
            return value
        value = {}
    key = next((key for key in value if named(key) == first), first)
    if rest:
        if edit["gone"] and key not in value:
            return value
        value[key] = put(value.get(key), rest, edit)
    elif edit["gone"]:
        value.pop(key, None)
    else:
        value[key] = edit["value"]
    return value


def named(key):
    if isinstance(key, bool):
        return "true" if key else "false"
    return "null" if key is None else str(key)


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
