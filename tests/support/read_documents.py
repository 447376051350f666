"""Reads documents as `yaml.safe_load` does; what JSON has no value for is the text that it was made of."""

import datetime
import json
import math
import sys

import yaml


class Loader(yaml.SafeLoader):
    def construct_object(self, node, deep=False):
        value = super().construct_object(node, deep=True)
        odd = isinstance(value, (datetime.date, bytes, set))
        odd = odd or isinstance(value, float) and not math.isfinite(value)
        odd = odd or isinstance(value, int) and abs(value) >= 2**63
        return str(node.value) if odd else value

    def construct_mapping(self, node, deep=False):
        super().construct_mapping(node, deep=True)  # refuses what it refuses, merges what it merges
        return {key.value: self.construct_object(value) for key, value in node.value}

    def map(self, node):
        return self.construct_mapping(node)


Loader.add_constructor("tag:yaml.org,2002:map", Loader.map)
found = []
for text in json.load(sys.stdin):
    try:
        value = yaml.load(text, Loader)
        if "\\ud83d\"" in json.dumps(value):
            raise ValueError("half a character, which the orchestrator cannot store")
        found.append({"value": value})
        json.dumps(value)
    except RecursionError:
        found.append({"error": "recursion"})
    except Exception as error:
        found.append({"error": f"{type(error).__name__}: {error}"})
print(json.dumps(found))
