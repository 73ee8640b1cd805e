"""What bench_peers.py measures, and on what: one line, made without any of the peers where they are missing."""
import os
import platform
import re
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        lines = [line.split(":", 1) for line in f if ":" in line]
    fields = {k.strip(): v.strip() for k, v in lines}
    count = sum(k.strip() == "processor" for k, _ in lines)
    return f"{fields.get('model name', platform.machine())}, family {fields.get('cpu family', '?')}, {count} processors"


def onednn():
    """The one within PyTorch, which names it among what it was built with."""
    import torch
    found = re.search(r"(?:MKL-DNN|oneDNN) v([\d.]+)", torch.__config__.show())
    return found and found[1]


def versions():
    found = []
    for name, ask in (("torch", None), ("oneDNN", onednn), ("onnxruntime", None), ("scipy_openblas64", None)):
        try:
            version = ask() if ask else __import__(name).__version__
        except (ImportError, AttributeError):
            continue
        found += [f"{name} {version}"] if version else []
    return ", ".join(found) or "no peers installed"


def commit():
    """What of attune is measured; nothing where its sources are in no repository."""
    try:
        asked = subprocess.run(["git", "-C", HERE, "describe", "--always", "--dirty"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"attune {asked.stdout.strip()}, "


def machine_line(rounds):
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    return f"{processor()}; {commit()}{versions()}; {rounds} rounds, {when}."
