"""Every file that the package writes: killed, out of room, or interrupted at each change, it is the old or the new."""

import json
import subprocess
import sys

import pytest

import dying
from project import ROOT
from writes import MADE, NAMES, WRITES

SECONDS = 1200  # after which a run counts as hung; each of its processes has dying.SECONDS
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and sees what Python's own functions do there")
NEEDED = {".h5": "h5py", ".zarr": "zarr", ".parquet": "pyarrow", "picture": "matplotlib", "demo": "matplotlib"}
NEEDED |= dict.fromkeys(("match", "fuse", "transfer fit", "transfer apply"), "typer")
SAID = ("was not written (No space left", "was not changed (No space left", "exit code 2")
QUICK = {("gallery, rows added", dying.KILLED): 3, ("array.npy", dying.FULL): 2}  # one change in so many


def states(name, folder, fault, first=1, step=1):
    command = [sys.executable, str(ROOT / "tests" / "dying.py"), name, str(folder), fault, str(first), str(step)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    *found, last = map(json.loads, done.stdout.splitlines())
    assert last["changes"] >= len(found) > 0
    return found


def judged(name, fault, one):
    """What is wrong with the folder that a fault left, or None."""
    code, said = one["code"], one["said"]
    allowed = {dying.KILLED: [-9], dying.FULL: [dying.REFUSED, 0], dying.INTERRUPTED: [dying.REFUSED]}  # 0: kernels
    if code not in allowed[fault]:
        return f"ended with {code}: {said}"
    if fault == dying.FULL and code == dying.REFUSED and not any(words in said for words in SAID):
        return f"said {said}"
    try:
        state = json.loads(one["state"])
    except ValueError:
        return f"cannot be read: {one['state']}"
    if state["found"] not in (0, 1) or state["again"] != 1 or state["begun"]:
        return f"holds {state}"
    resumes = name in MADE and WRITES[name].resumes
    if fault != dying.KILLED and state["left"] and not resumes:
        return f"left {state['left']}"
    return None


def check(name, fault, folder, step=1):
    for ending, library in NEEDED.items():
        if ending in name:
            pytest.importorskip(library)
    found = states(name, folder, fault, 1, step)
    wrong = [f"change {one['at']}: {told}" for one in found if (told := judged(name, fault, one))]
    assert not wrong, "\n".join(wrong)
    return found


@pytest.mark.parametrize(("name", "fault"), QUICK)
def test_a_fault_at_some_changes(name, fault, tmp_path):
    check(name, fault, tmp_path, QUICK[name, fault])


@pytest.mark.heavy
@pytest.mark.parametrize("fault", dying.FAULTS)
@pytest.mark.parametrize("name", NAMES)
def test_a_fault_at_each_change(name, fault, tmp_path):
    check(name, fault, tmp_path)


def test_the_judge_can_say_no():
    whole = {"found": 0, "left": [], "again": 1, "begun": []}
    told = {"at": 1, "code": -9, "said": "", "state": json.dumps(whole)}
    refused = told | {"code": dying.REFUSED, "said": "FileError: 'x' was not written (No space left on device)"}
    assert judged("gallery", dying.KILLED, told) is None
    assert judged("gallery", dying.FULL, refused) is None
    for changed, sign in (
        ({"code": 0}, "ended with"),
        ({"state": "Traceback"}, "cannot be read"),
        ({"state": json.dumps(whole | {"found": "half"})}, "half"),
        ({"state": json.dumps(whole | {"again": 0})}, "holds"),
        ({"state": json.dumps(whole | {"begun": ["o.npy.partial"]})}, "o.npy.partial"),
    ):
        assert sign in judged("gallery", dying.KILLED, told | changed)
    for changed, sign in (
        ({"said": "OSError: no room"}, "said OSError"),
        ({"state": json.dumps(whole | {"left": [".x.partial"]})}, "left"),
        ({"code": dying.HUNG}, "ended with"),
    ):
        assert sign in judged("gallery", dying.FULL, refused | changed)
