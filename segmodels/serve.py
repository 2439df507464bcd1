"""`python -m segmodels.serve`: the app, as the place where it runs asks for it.

What would else be a traceback of the server is one line here: a port in use, no Streamlit, a folder that cannot be
written. Where the app is hosted (`segmodels.hosted`) uploads are bounded by the server itself.
"""

from __future__ import annotations

import argparse
import errno
import os
import shutil
import socket
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from segmodels.errors import UserError
from segmodels.files import explain_disk_errors, replacing
from segmodels.home import home
from segmodels.hosted import limits
from segmodels.hub.checkpoint import SPEC

#: Folders of caches that must be there before anything is kept in them, by the variables that name them.
CACHES = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "HF_HOME", "KERAS_HOME", "MPLCONFIGDIR")


def main(arguments: Sequence[str] | None = None) -> int:
    """Become the server; returns only where it cannot start, the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m segmodels.serve", description="The app. Further options go to `streamlit run`."
    )
    parser.add_argument("--port", type=int, default=int(os.environ.get("STREAMLIT_SERVER_PORT") or 8501))
    parser.add_argument("--address", default=os.environ.get("STREAMLIT_SERVER_ADDRESS", ""))
    parsed, others = parser.parse_known_args(arguments)
    try:
        script = app_script()
        check_port(parsed.address, parsed.port)
        make_folders()
        add_shipped_models(script.parent / "checkpoints")
        variables = server_variables()
        words = ["-m", "streamlit", "run", str(script), f"--server.port={parsed.port}", *others]
        words += [f"--server.address={parsed.address}"] if parsed.address else []
        os.execve(sys.executable, [sys.executable, *words], {**os.environ, **variables})
    except UserError as error:
        print(f"segmodels: {error}", file=sys.stderr)
    return 2


def app_script() -> Path:
    """`app.py` beside this package, in a checkout, or in the package that a wheel has it in."""
    if find_spec("streamlit") is None:
        raise UserError("the app needs Streamlit, which is not installed: pip install 'segmodels[app]'")
    beside = Path(__file__).parents[1]
    for script in (beside / "app.py", beside / "segmodels_app" / "app.py"):
        if script.is_file():
            return script
    raise UserError(f"there is no app.py beside {Path(__file__).parent}: install segmodels anew, or clone the project")


def check_port(address: str, port: int) -> None:
    """`UserError` where a server could not listen at a port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    if not 0 < port < 65536:
        raise UserError(f"port {port}: choose one from 1024 to 65535")
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that was closed just now is free
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise UserError(
                    f"port {port} is in use: end the program that has it (perhaps this app: http://localhost:{port}), "
                    f"or take another: make app PORT={port + 1}, or --port {port + 1}"
                ) from None
            if error.errno == errno.EACCES:
                raise UserError(f"port {port} is for root only: choose one from 1024 on") from None
            raise UserError(f"no server can listen at {address}:{port}: {error.strerror or error}") from None


def make_folders() -> None:
    """Make the home and the folders of caches that variables name, which lie in an empty volume at the first start."""
    named = [Path(os.environ[name]) for name in CACHES if os.environ.get(name)]
    for folder in (home(), *named):
        with explain_disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
    if not os.access(home(), os.W_OK):
        raise UserError(f"no permission for {home()}: set SEGMODELS_HOME to a folder that you may write in")


def add_shipped_models(folder: Path) -> None:
    """Copy the models that ship with the project to the home, where that is another folder and has them not yet."""
    if folder.resolve() == home().resolve():
        return
    for spec in sorted(folder.glob(f"[!.]*/{SPEC}")):
        target = home() / spec.parent.name
        if not target.exists():
            with replacing(target) as beside:
                shutil.copytree(spec.parent, beside, copy_function=shutil.copyfile)


def server_variables() -> dict[str, str]:
    """The settings of Streamlit that a hosted app needs."""
    allowed = limits()
    if not allowed.hosted:
        return {}
    variables = {
        "STREAMLIT_SERVER_HEADLESS": "true",
        # In the frame of a Space its cookie is a third party's, which browsers keep back: uploads would be refused.
        "STREAMLIT_SERVER_ENABLE_XSRF_PROTECTION": "false",
    }
    if allowed.upload_megabytes is not None:
        variables["STREAMLIT_SERVER_MAX_UPLOAD_SIZE"] = str(allowed.upload_megabytes)
    return variables


if __name__ == "__main__":
    sys.exit(main())
