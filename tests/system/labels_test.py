"""Labels of samples: what a workload in a cgroup of its own is called. Container runtimes are not needed: their paths are made here."""
import glob
import os
import signal
import subprocess
import time

from harness import Recording, Skip, build, cpu_s, record, record_while, run, spawn, test, wait_for
from profile_reader import samples

ONE = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4
UID = "12345678-9abc-def0-1234-56789abcdef0"


def tag():
    """Of the folders of a test: each has a process of its own."""
    return f"hearth-test-{os.getpid()}"


def v2_root():
    root = next((path for path in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified") if os.path.exists(path + "/cgroup.procs")), None)
    if not root:
        raise Skip("no cgroup v2 is mounted")
    return root


class Cgroup:
    """Folders below a mount; removed at the end."""

    def __init__(self, root, path):
        self.folders = []
        self.path = root
        for part in path.split("/"):
            self.path += "/" + part
            if not os.path.isdir(self.path):
                try:
                    os.mkdir(self.path)
                except OSError as error:
                    raise Skip(f"no cgroup can be made: {error}")
                self.folders.append(self.path)

    def enter(self):
        with open(self.path + "/cgroup.procs", "w") as file:
            file.write(str(os.getpid()))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for folder in reversed(self.folders):
            for _ in range(1000):
                try:
                    os.rmdir(folder)
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.05)


def labels_of(path, process):
    """The one set of labels that the samples of a process have, pid and thread aside, and the sum of its samples."""
    sets, total = set(), 0
    for labels, values in samples(path):
        if labels["process"] == process:
            assert labels.pop("pid") > 0
            assert labels.pop("thread") == process
            sets.add(tuple(sorted(labels.items())))
            total += values[0]
    assert len(sets) == 1, (process, sets)
    return dict(sets.pop()), total


def busy(name):
    return build("busy.c", name, "-O2")


@test("a unit: cgroup, unit, service and executable")
def unit():
    path = f"{tag()}.slice/my\\x2dapp.service"
    with Cgroup(v2_root(), path) as cgroup:
        process = spawn(busy("busy_unit"), "300", preexec_fn=cgroup.enter)
        try:
            record_while([process.pid], 0.7, "-F", "199", "-o", "unit.pb.gz")
        finally:
            process.kill()
            process.wait()
    labels, total = labels_of("unit.pb.gz", "busy_unit")
    assert labels == {"process": "busy_unit", "executable": "busy_unit", "cgroup": "/" + path, "unit": "my\\x2dapp.service",
                      "service": "my\\x2dapp"}, labels
    assert total > 50, total


@test("a process without a cgroup of its own: its executable is its service")
def no_unit():
    process = spawn(busy("busy_plain"), "300")
    try:
        record_while([process.pid], 0.3, "-F", "199", "-o", "plain.pb.gz")
    finally:
        process.kill()
        process.wait()
    labels, _ = labels_of("plain.pb.gz", "busy_plain")
    assert labels["executable"] == "busy_plain", labels
    if "unit" not in labels and "container" not in labels:
        assert labels["service"] == "busy_plain", labels


@test("a container that is gone before the window ends")
def gone():
    with Cgroup(v2_root(), f"{tag()}.slice") as around:
        program = busy("busy_gone")
        recording = Recording("-F", "199", "-o", "gone.pb.gz")
        cgroup = Cgroup(around.path, f"docker-{ONE}.scope")
        subprocess.run([program, "1"], preexec_fn=cgroup.enter, check=True)
        cgroup.__exit__()
        assert not os.path.exists(cgroup.path)
        recording.end()
    labels, total = labels_of("gone.pb.gz", "busy_gone")
    assert labels["container_id"] == ONE, labels
    assert labels["cgroup"] == f"/{tag()}.slice/docker-{ONE}.scope", labels
    assert "unit" not in labels and labels["service"] == "busy_gone", labels
    assert total > 50, total


@test("hierarchies of v1 beside v2: the container is where it is told")
def v1():
    root = next((path for path in glob.glob("/sys/fs/cgroup/*") if os.path.exists(path + "/cgroup.clone_children") and "cpuset" not in path
                 and "memory" not in path), None)
    if not root:
        raise Skip("no hierarchy of cgroup v1 is mounted")
    with Cgroup(root, f"{tag()}/docker/{OTHER}") as cgroup:
        process = spawn(busy("busy_v1"), "300", preexec_fn=cgroup.enter)
        try:
            recording = Recording("-F", "199", "-o", "v1.pb.gz")
            # Too short to be there when samples are looked at.
            subprocess.run(["sh", "-c", f"{busy('busy_v1_short')} 1; true"], preexec_fn=cgroup.enter, check=True)
            wait_for(lambda: cpu_s(process.pid) > 0.7, 60, "samples")
            summary = recording.end()
        finally:
            process.kill()
            process.wait()
    assert summary["cgroups"]["by_process"] is True, summary["cgroups"]
    for name in ("busy_v1", "busy_v1_short"):
        labels, _ = labels_of("v1.pb.gz", name)
        assert labels["container_id"] == OTHER and labels["cgroup"] == f"/{tag()}/docker/{OTHER}", labels


def node(uid, container):
    """A host's file system with kubelet's names."""
    os.makedirs("node/sys/fs", exist_ok=True)
    os.makedirs("node/var/log/containers", exist_ok=True)
    os.makedirs(f"node/var/log/pods/shop_web-7d4b9c-x2x1_{uid}/nginx", exist_ok=True)
    if not os.path.islink("node/sys/fs/cgroup"):
        os.symlink("/sys/fs/cgroup", "node/sys/fs/cgroup")
    for name in (f"web-7d4b9c-x2x1_shop_nginx-{container}.log", "bad\nname.log", "a_b_c.log", f"UPPER_x_y-{container}.log"):
        path = f"node/var/log/containers/{name}"
        if not os.path.islink(path):
            os.symlink("/nowhere", path)


@test("Kubernetes: pod, namespace and container from the names of kubelet's files")
def kubernetes():
    node(UID, ONE)
    slice_ = f"{tag()}-kubepods-burstable-pod{UID.replace('-', '_')}.slice"
    with Cgroup(v2_root(), f"{slice_}/cri-containerd-{ONE}.scope") as cgroup:
        process = spawn(busy("busy_pod"), "300", preexec_fn=cgroup.enter)
        try:
            summary, _ = record_while([process.pid], 0.5, "-F", "199", "--host-root", os.path.abspath("node"), "-o", "pod.pb.gz")
        finally:
            process.kill()
            process.wait()
    labels, _ = labels_of("pod.pb.gz", "busy_pod")
    assert labels == {"process": "busy_pod", "executable": "busy_pod", "cgroup": f"/{slice_}/cri-containerd-{ONE}.scope", "container_id": ONE,
                      "container": "nginx", "pod": "web-7d4b9c-x2x1", "namespace": "shop", "service": "nginx"}, labels
    assert summary["cgroups"]["pod_containers"] == 1 and summary["cgroups"]["pod_names_malformed"] == 3, summary["cgroups"]


@test("--tid tells threads apart; without it there is none")
def threads():
    process = spawn(build("threads.c", "threads", "-O2", "-D_GNU_SOURCE", "-pthread"), "600", stdout=subprocess.PIPE, text=True)
    tids = {int(process.stdout.readline()) for _ in range(2)}
    try:
        record_while([process.pid], 1, "-F", "199", "--tid", "-o", "tid.pb.gz")
        record_while([process.pid], 0.3, "-F", "199", "-o", "no_tid.pb.gz")
    finally:
        process.kill()
        process.wait()
    seen = {labels["tid"] for labels, _ in samples("tid.pb.gz") if labels["pid"] == process.pid and labels["thread"] == "worker"}
    assert seen == tids, (seen, tids)
    assert all("tid" in labels for labels, _ in samples("tid.pb.gz") if labels["pid"])
    assert not any("tid" in labels for labels, _ in samples("no_tid.pb.gz"))


@test("kernel threads are one service, and have no executable")
def kernel_threads():
    record("-e", "sched:sched_switch", "-d", "1", "-o", "switch.pb.gz")
    found = [labels for labels, _ in samples("switch.pb.gz") if labels["process"].startswith(("kworker", "rcu_", "ksoftirqd", "migration"))]
    if not found:
        raise Skip("no kernel thread ran")
    for labels in found:
        assert labels["service"] == "kernel" and "executable" not in labels and "container_id" not in labels, labels


@test("in a storm of cgroups what is sampled has a name, and memory has its bound")
def storm():
    root = v2_root()
    with Cgroup(root, f"{tag()}.slice/kept.service") as kept, Cgroup(root, f"{tag()}-storm") as around:
        process = spawn(busy("busy_kept"), "300", preexec_fn=kept.enter)
        maker = os.fork()
        if maker == 0:
            try:
                for number in range(10 ** 9):
                    name = f"{around.path}/{number}-{'x' * 150}"
                    os.mkdir(name)
                    os.rmdir(name)
            finally:
                os._exit(1)
        try:
            summary, _ = record_while([process.pid, maker], 0.7, "-F", "99", "-o", "storm.pb.gz")
        finally:
            os.kill(maker, signal.SIGKILL)
            os.waitpid(maker, 0)
            process.kill()
            process.wait()
            for name in os.listdir(around.path):
                if os.path.isdir(f"{around.path}/{name}"):
                    os.rmdir(f"{around.path}/{name}")
    labels, _ = labels_of("storm.pb.gz", "busy_kept")
    assert labels["unit"] == "kept.service", labels
    assert summary["cgroups"]["learned"] > 100, summary["cgroups"]
    assert summary["cgroups"]["bytes"] <= 4 << 20, summary["cgroups"]


@test("names that are hostile are clean in the profile")
def hostile():
    name = "\x1b[31m\u202ered .service;x"
    with Cgroup(v2_root(), f"{tag()}.slice/{name}") as cgroup:
        process = spawn(busy("busy_red"), "300", preexec_fn=cgroup.enter)
        try:
            record_while([process.pid], 0.5, "-F", "199", "-o", "red.pb.gz", "-o", "red.folded", "-o", "red.svg")
        finally:
            process.kill()
            process.wait()
    labels, _ = labels_of("red.pb.gz", "busy_red")
    assert labels["cgroup"] == f"/{tag()}.slice/?[31m?red .service;x", labels
    assert "unit" not in labels, labels


run()
