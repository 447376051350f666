"""An edit of a value, as it is meant: for the scripts that compare what PyYAML reads with it."""


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
