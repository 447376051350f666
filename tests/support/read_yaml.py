given = yaml.safe_load(json.load(sys.stdin))

SERVICE = {
    "type": None, "enabled": True, "executable": None, "base_url": None, "api_type": None, "default_model": None,
    "api_key": None, "max_context_tokens": None, "capabilities": [], "models": [], "preferred_models": [],
    "fallback_models": [], "use_free_only": None, "max_retries": None, "retry_delay": None, "site_url": None,
    "site_name": None, "auto_start": None, "auto_detect_model": None,
}
RULE = {"primary": None, "fallback": [], "parallel_threshold_files": None, "timeout_seconds": None}
EXECUTION = {
    "max_parallel_workers": 3, "timeout_seconds": 120, "streaming": True, "retry_on_failure": True, "max_retries": 2,
}


def complete(defaults, declared):
    assert set(declared) <= set(defaults), set(declared) - set(defaults)
    return {name: default if declared.get(name) is None else declared[name] for name, default in defaults.items()}


services = {name: complete(SERVICE, service) for name, service in given["services"].items()}
for service in services.values():
    service["capabilities"] = sorted(service["capabilities"])
    service["models"] = sorted(service["models"])
print(json.dumps({
    "order": list(given["services"]),
    "services": services,
    "routing_rules": {name: complete(RULE, rule) for name, rule in (given.get("routing_rules") or {}).items()},
    "execution": complete(EXECUTION, given.get("execution") or {}),
}))
