"""A Dockerfile read line by line, and done where no Docker can run: this machine's root under an overlay, in a mount
namespace of its own, takes the place of the base image. What is done there changes nothing of the machine."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

Process = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Instruction:
    """One instruction: its word, and the rest of it on one line."""

    word: str
    text: str

    @property
    def words(self) -> list[str]:
        """A command as a list, of the JSON form or as a shell would split it."""
        return json.loads(self.text) if self.text.startswith("[") else shlex.split(self.text)

    @property
    def command(self) -> list[str]:
        """What RUN and CMD execute."""
        return self.words if self.text.startswith("[") else ["/bin/sh", "-c", self.text]


def parsed(text: str) -> list[Instruction]:
    """The instructions of a Dockerfile, without comments and with continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found = [line.split(None, 1) for line in joined.splitlines() if line.strip()]
    return [Instruction(word.upper(), rest.strip()) for word, rest in found]


def is_ignored(path: PurePosixPath, patterns: Sequence[str]) -> bool:
    """Whether `.dockerignore` keeps a file out of the context: the last pattern that fits it or its folder counts."""
    ignored = False
    for pattern in patterns:
        wanted = pattern.lstrip("!").strip("/")
        if any(_fits(str(place), wanted) for place in (path, *path.parents) if str(place) != "."):
            ignored = not pattern.startswith("!")
    return ignored


def _fits(path: str, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return fnmatch.fnmatchcase(path.rsplit("/", 1)[-1], pattern[3:])
    return path.count("/") == pattern.count("/") and fnmatch.fnmatchcase(path, pattern)


def context(project: Path, folder: Path) -> Path:
    """A copy of what `docker build` would send of a project."""
    lines = (project / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line.strip() and not line.startswith("#")]
    top = {path.split("/")[0] for path in (pattern.lstrip("!") for pattern in patterns if pattern.startswith("!"))}
    for name in sorted(path.name for path in project.iterdir() if any(fnmatch.fnmatchcase(path.name, t) for t in top)):
        for path in [project / name, *(project / name).rglob("*")]:
            inside = path.relative_to(project)
            if path.is_file() and not is_ignored(PurePosixPath(inside), patterns):
                (folder / inside).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, folder / inside)
    return folder


@dataclass
class Image:
    """What a Dockerfile makes: a root of its own, with its environment, folder, user and commands."""

    root: Path
    context: Path
    holder: subprocess.Popen[bytes]
    environment: dict[str, str] = field(
        default_factory=lambda: {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
    )
    arguments: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = "0:0"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)

    def inside(self, words: Sequence[str], *, network: int | None = None, user: str | None = None) -> list[str]:
        """The command that executes `words` in it, in the network of a process or in this machine's."""
        uid, gid = (user or self.user).split(":")
        space = ["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt"]
        space += [f"--net=/proc/{network}/ns/net"] if network else []
        given = [f"{name}={value}" for name, value in self.environment.items()]
        who = ["setpriv", "--reuid", uid, "--regid", gid, "--clear-groups", "--no-new-privs"]
        who += ["--bounding-set=-all", "--inh-caps=-all"] if uid != "0" else []
        place = ["chroot", str(self.root), *who, "env", "-i", *given, "sh", "-c", 'cd "$0" && exec "$@"', self.folder]
        return [*space, *place, *words]

    def run(self, words: Sequence[str], *, timeout: float = 120, check: bool = True, **terms: object) -> Process:
        done = subprocess.run(
            self.inside(words, **terms),  # type: ignore[arg-type]
            capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done

    def mount(self, *words: str) -> None:
        subprocess.run(["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", "mount", *words], check=True)

    def do(self, instruction: Instruction) -> None:
        """Do one instruction as `docker build` would; an unknown one fails."""
        getattr(self, f"_{instruction.word.lower()}")(instruction)

    def _run(self, instruction: Instruction) -> None:
        text = re.sub(r"\$\{(\w+)\}", lambda found: self.arguments.get(found[1], found[0]), instruction.text)
        self.run(Instruction("RUN", text).command, timeout=900)

    def _copy(self, instruction: Instruction) -> None:
        *sources, target = instruction.words
        place = PurePosixPath(self.folder) / target
        for pattern in sources:
            found = sorted(self.context.glob(pattern))
            assert found, f"COPY {pattern}: nothing of that name in the context"
            for path in found:
                # The content of a folder goes to the target, as Docker has it.
                self.run(["mkdir", "-p", str(place)], user="0:0")
                packed = ["tar", "-C", *([str(path), "."] if path.is_dir() else [str(path.parent), path.name])]
                with subprocess.Popen(
                    [*packed[:1], "-c", "--owner=0", "--group=0", *packed[1:]], stdout=subprocess.PIPE
                ) as reading:
                    unpack = self.inside(["tar", "-x", "-C", str(place)], user="0:0")
                    subprocess.run(unpack, stdin=reading.stdout, check=True)

    def _env(self, instruction: Instruction) -> None:
        self.environment.update(pair.split("=", 1) for pair in instruction.words)

    def _arg(self, instruction: Instruction) -> None:
        name, _, value = instruction.text.partition("=")
        self.arguments[name] = value

    def _workdir(self, instruction: Instruction) -> None:
        self.run(["mkdir", "-p", instruction.text])
        self.folder = instruction.text

    def _user(self, instruction: Instruction) -> None:
        self.user = instruction.text

    def _expose(self, instruction: Instruction) -> None:
        assert instruction.text.isdecimal()

    def _entrypoint(self, instruction: Instruction) -> None:
        self.entrypoint = instruction.command

    def _cmd(self, instruction: Instruction) -> None:
        self.command = instruction.command

    def _healthcheck(self, instruction: Instruction) -> None:
        _, _, command = instruction.text.partition("CMD ")
        self.health = Instruction("CMD", command.strip()).command


@contextlib.contextmanager
def base_image(folder: Path, project_context: Path) -> Iterator[Image]:
    """This machine's root, under which everything can be changed, with this Python in /usr/local as Python's own images
    have it, and without what was installed for it."""
    holder = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sleep", "3600"])
    try:
        time.sleep(0.2)
        root = folder / "root"
        image = Image(root, project_context, holder)
        root.mkdir(parents=True)
        made = folder / "made"
        made.mkdir()
        image.mount("-t", "tmpfs", "-o", "size=3g", "tmpfs", str(made))
        _overlay(image, Path("/"), root, made / "root")
        _overlay(image, Path(sys.base_prefix), root / "usr" / "local", made / "python")
        if Path(sys.base_prefix) != Path("/usr/local"):  # the first lines of its scripts name its own place
            image.mount("--bind", str(root / "usr" / "local"), f"{root}{sys.base_prefix}")
        image.mount("-t", "proc", "proc", str(root / "proc"))
        image.mount("--rbind", "/dev", str(root / "dev"))
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        image.run(["sh", "-c", f"ln -sf {version} /usr/local/bin/python && ldconfig"])
        image.run(
            ["sh", "-c", "if id 1000 >/dev/null 2>&1; then userdel --force $(id -un 1000); fi; rm -rf /cache /app"]
        )
        image.run(
            ["sh", "-c", "getent group 1000 >/dev/null && groupdel $(getent group 1000 | cut -d: -f1)"], check=False
        )
        yield image
    finally:
        holder.kill()
        holder.wait()


def _overlay(image: Image, lower: Path, target: Path, made: Path) -> None:
    enter = ["nsenter", f"--mount=/proc/{image.holder.pid}/ns/mnt"]
    subprocess.run([*enter, "mkdir", "-p", f"{made}/upper", f"{made}/work", str(target)], check=True)
    layers = f"lowerdir={lower},upperdir={made}/upper,workdir={made}/work"
    image.mount("-t", "overlay", "overlay", "-o", layers, str(target))


@contextlib.contextmanager
def container(image: Image, cache: Path, log: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """The image at work, as `docker run --read-only --network none` would have it: only /cache can be written to.

    The volume begins with what the image has in it. The network is the container's own, so its ports are free.
    """
    image.run(["tar", "-C", "/cache", "-c", "."], user="0:0")
    packed = subprocess.run(
        image.inside(["tar", "-C", "/cache", "-c", "."], user="0:0"), capture_output=True, check=True
    )
    subprocess.run(["tar", "-x", "--same-owner", "-C", str(cache)], input=packed.stdout, check=True)
    os.chown(cache, 1000, 1000)
    image.mount("--bind", str(cache), str(image.root / "cache"))
    for place in (image.root / "usr" / "local", image.root):
        image.mount("-o", "remount,ro", str(place))
    image.environment |= variables
    start = image.inside([*image.entrypoint, *image.command])
    at = start.index("chroot")  # the network is another, once the mounts are those of the image
    words = [*start[:at], "unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", *start[at:]]
    with log.open("wb") as out:
        server = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
    try:
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
