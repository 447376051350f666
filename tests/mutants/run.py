#!/usr/bin/env python3
"""Plants bugs in a copy of this clone, one at a time, and says which the tests catch.

    run.py FOLDER hand [NAME...]    those of planted.toml, or some of them
    run.py FOLDER machine           a sample of those that cargo-mutants makes
    run.py FOLDER check             only whether those of planted.toml can still be planted

FOLDER keeps the copy and what is built of it. A bug that cannot be planted any more is an error.
"""

import fcntl
import os
import pathlib
import re
import signal
import subprocess
import sys
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
CLONE = HERE.parent.parent
PLANTED = tomllib.loads((HERE / "planted.toml").read_text())
# Nothing planted makes a test wait longer without being noticed, in seconds.
PATIENCE = 600


def main():
    folder, mode, names = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    check_planted()
    if mode == "check":
        return
    folder.mkdir(parents=True, exist_ok=True)
    lock = open(folder / "lock", "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    tree = folder / "tree"
    os.environ["CARGO_TARGET_DIR"] = str(folder / "target")
    copy_clone(tree)
    missed = by_hand(tree, names) if mode == "hand" else by_machine(tree, folder)
    sys.exit(1 if missed else 0)


def check_planted():
    """Every bug names a place that is there exactly once, and a test that is there or why none can be."""
    faults = []
    for mutant in PLANTED["mutant"]:
        found = (CLONE / mutant["file"]).read_text().count(mutant["old"])
        if found != 1:
            faults.append(f"{mutant['name']}: its text is {found} times in {mutant['file']}")
        if mutant["old"] == mutant["new"] or not ("tests" in mutant or "equivalent" in mutant):
            faults.append(f"{mutant['name']}: plants nothing, or names no test")
    if faults:
        sys.exit("cannot be planted any more:\n  " + "\n  ".join(faults))
    print(f"{len(PLANTED['mutant'])} bugs can be planted")


def copy_clone(tree):
    """Copies what git knows or would take; a file that is the same keeps its age, so that cargo builds only the rest."""
    listed = run(["git", "ls-files", "-co", "--exclude-standard", "-z"], CLONE).stdout.split("\0")
    wanted = {name for name in listed if name and (CLONE / name).is_file()}
    for name in wanted:
        to, content = tree / name, (CLONE / name).read_bytes()
        if not to.is_file() or to.read_bytes() != content:
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(content)
            to.chmod((CLONE / name).stat().st_mode & 0o777)
    for path in [path for path in tree.rglob("*") if path.is_file() or path.is_symlink()]:
        if str(path.relative_to(tree)) not in wanted:
            path.unlink()


def by_hand(tree, names):
    chosen = [it for it in PLANTED["mutant"] if not names or it["name"] in names]
    tried = [it for it in chosen if "tests" in it]
    for target in sorted({target for it in tried for target in it["tests"]}):
        tests = sorted({test for it in tried for test in it["tests"].get(target, [])})
        output, _ = cargo_test(tree, target, tests)
        passed = sum(int(count) for count in re.findall(r"test result: ok\. (\d+) passed", output))
        if passed != len(tests):
            sys.exit(f"without any bug, {passed} of these pass: {target} {tests}\n{output[-4000:]}")
    survivors = [it["name"] for it in tried if not is_caught(tree, it)]
    argued = len(chosen) - len(tried)
    print(f"{len(tried) - len(survivors)} of {len(tried)} planted bugs caught, {argued} argued")
    return survivors


def is_caught(tree, mutant):
    path = tree / mutant["file"]
    original = path.read_text()
    path.write_text(original.replace(mutant["old"], mutant["new"]))
    try:
        for target, tests in mutant["tests"].items():
            output, ended = cargo_test(tree, target, tests)
            if "could not compile" in output:
                sys.exit(f"{mutant['name']} does not build:\n{output[-4000:]}")
            if not ended or "test result: FAILED" in output:
                print(f"caught      {mutant['name']}: {target} {' '.join(tests)}", flush=True)
                return True
        print(f"NOT CAUGHT  {mutant['name']}: {mutant['tests']}", flush=True)
        return False
    finally:
        path.write_text(original)


def cargo_test(tree, target, tests):
    return run_for(["cargo", "test", "--locked", *selected(target), "--", "--exact", *tests], tree)


def selected(target):
    return ["--lib"] if target == "lib" else [f"--test={target}"]


def by_machine(tree, folder):
    missed, counts = [], dict.fromkeys(["caught", "missed", "timeout", "unviable"], 0)
    for group in PLANTED["machine"]:
        out = folder / "out" / group["name"]
        out.mkdir(parents=True, exist_ok=True)
        files = [argument for file in group["files"] for argument in ("-f", file)]
        known = run(["cargo", "mutants", "--list", *files], tree).stdout
        stale = [it for it in group.get("argued", []) if it["mutant"] not in without_places(known)]
        if stale:
            sys.exit(f"{group['name']}: cargo-mutants does not make {stale[0]['mutant']!r} any more")
        command = ["cargo", "mutants", "--in-place", "--no-shuffle", "--colors", "never", "-o", str(out), *files]
        command += ["--sharding", "round-robin", "--shard", f"{group['first']}/{group['one_in']}"]
        # Only what is run is built, too.
        command += [f"--cargo-arg={argument}" for target in group["targets"] for argument in selected(target)]
        command += ["--timeout", "240", "--", "--", *group.get("filter", [])]
        print(f"== {group['name']}", flush=True)
        subprocess.run(command, cwd=tree, check=False)
        for kind in counts:
            lines = (out / "mutants.out" / f"{kind}.txt").read_text().splitlines()
            counts[kind] += len(lines)
            if kind == "missed":
                argued = {it["mutant"] for it in group.get("argued", [])}
                missed += [line for line in lines if without_places(line) not in argued]
    print("\n".join(f"NOT CAUGHT  {line}" for line in missed))
    tried, argued = sum(counts.values()) - counts["unviable"], counts["missed"] - len(missed)
    caught = counts["caught"] + counts["timeout"]
    print(f"{caught} of {tried} made by cargo-mutants caught, {argued} argued, {len(missed)} not caught")
    return missed


def without_places(text):
    return re.sub(r":\d+:\d+:", ":", text)


def run(command, cwd):
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True)


def run_for(command, cwd):
    """Runs a command and everything that it starts; returns its output, and whether it ended in time."""
    with subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True
    ) as process:
        try:
            return process.communicate(timeout=PATIENCE)[0], True
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return process.communicate()[0], False


main()
