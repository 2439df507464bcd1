"""What the tests' Hub does for those who write: repositories, branches, large files and commits."""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import json
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler
from typing import Any

CHUNK = 1 << 16

#: What a new repository holds.
ATTRIBUTES = b"*.h5 filter=lfs diff=lfs merge=lfs -text\n"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def is_large(path: str, sample: bytes, size: int) -> bool:
    """Whether the Hub keeps a file as LFS: what is binary, or over 10 MB."""
    return path.endswith((".h5", ".keras", ".onnx")) or b"\0" in sample or size > 10_000_000


class CutOff(OSError):
    """The connection ends here, by the test's wish."""


class Writing(BaseHTTPRequestHandler):
    """POST and PUT; `hub_server.Handler` has the rest."""

    hub: Any
    answer: Any
    asked_for: Any
    may_see: Any
    place: Any
    refuse_credentials: Any
    refuse_repository: Any
    role: Any
    token_is_good: Any
    tree: Any

    def do_POST(self) -> None:
        hub, parts = self.hub, self.asked_for()
        body = b"".join(self.body())
        if hub.status:
            return self.answer(hub.status)
        if not self.token_is_good():
            return self.refuse_credentials()
        if parts == ["api", "validate-yaml"]:
            return self.say(200, {"errors": [], "warnings": []})
        if parts[:2] == ["lfs", "complete"]:
            return self.complete(json.loads(body))
        if not self.role():
            return self.answer(401, {"X-Error-Message": "Invalid username or password."})
        if parts == ["api", "repos", "create"]:
            return self.create(json.loads(body))
        if parts[2:] == ["info", "lfs", "objects", "batch"]:
            return self.batch(f"models/{parts[0]}/{parts[1].removesuffix('.git')}", json.loads(body))
        name, verb, revision, _ = self.place(parts)
        if not self.may_see(name):
            return self.refuse_repository()
        if verb == "paths-info":
            paths = json.loads(body)["paths"]
            files = hub.commits[hub.refs[f"{name}@{revision}"]]
            return self.say(200, self.tree({path: files[path] for path in paths if path in files}))
        pull = "create_pr=1" in urllib.parse.urlsplit(self.path).query
        if not self.may_write(name, pull):
            return self.forbid()
        if verb == "branch":
            return self.branch(name, revision, json.loads(body or b"{}"))
        if f"{name}@{revision}" not in hub.refs:
            return self.answer(404, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"})
        if verb == "tag":
            hub.refs[f"{name}@{json.loads(body)['tag']}"] = hub.refs[f"{name}@{revision}"]
            return self.say(200, {})
        if verb == "preupload":
            return self.preupload(hub.commits[hub.refs[f"{name}@{revision}"]], json.loads(body)["files"])
        if verb == "commit":
            return self.take_commit(name, revision, pull, [json.loads(line) for line in body.splitlines() if line])
        return self.answer(404)

    def do_PUT(self) -> None:
        """A large file, or a part of one; its connection is cut off after `refuse_after` bytes of them all."""
        hub, parts = self.hub, self.asked_for()
        if hub.status:
            self.close_connection = True
            return self.answer(hub.status)
        oid, pieces = parts[1], []
        try:
            for chunk in self.body():
                with hub.lock:
                    left = None if hub.refuse_after is None else hub.refuse_after - sum(hub.received.values())
                    if left is not None and left < len(chunk):
                        hub.received[oid] += max(left, 0)
                        raise CutOff
                    hub.received[oid] += len(chunk)
                pieces.append(chunk)
                time.sleep(hub.seconds)
        except CutOff:
            self.close_connection = True
            return None
        content = b"".join(pieces)
        digest = sha256(content)
        with hub.lock:
            if len(parts) > 2:
                hub.parts.setdefault(oid, {})[int(parts[2])] = content
            elif digest != oid:
                return self.answer(400)
            else:
                hub.objects[oid] = content
        return self.answer(200, {"ETag": f'"{digest}"'}, b"")

    def complete(self, about: dict[str, Any]) -> None:
        parts = self.hub.parts.pop(about["oid"])
        content = b"".join(parts[number] for number in sorted(parts))
        if sha256(content) != about["oid"] or len(parts) != len(about["parts"]):
            return self.answer(400)
        self.hub.objects[about["oid"]] = content
        return self.say(200, {})

    def create(self, about: dict[str, Any]) -> None:
        owner = about.get("organization") or "someone"
        name = f"{owner}/{about['name']}"
        key = name if about.get("type") == "dataset" else f"models/{name}"
        if self.hub.known(key):
            return self.say(409, {"error": "You already created this model repo", "url": f"{self.hub.url}/{name}"})
        if not self.may_write(key):
            return self.forbid()
        self.hub.put(key, {".gitattributes": ATTRIBUTES}, "main")
        if about.get("visibility") == "private" or about.get("private"):
            self.hub.private.add(key)
        return self.say(200, {"url": f"{self.hub.url}/{name}", "name": name})

    def branch(self, name: str, branch: str, about: dict[str, Any]) -> None:
        refs = self.hub.refs
        if f"{name}@{branch}" in refs:
            return self.say(409, {"error": f"Reference already exists: {branch}"})
        start = refs.get(f"{name}@{about.get('startingPoint', 'main')}")
        if start is None:
            return self.answer(404, {"X-Error-Code": "RevisionNotFound"})
        refs[f"{name}@{branch}"] = start
        return self.say(200, {})

    def preupload(self, there: dict[str, bytes], files: list[dict[str, Any]]) -> None:
        ignored = there.get(".gitignore", b"").decode().split()
        answers = []
        for file in files:
            path, large = file["path"], is_large(file["path"], base64.b64decode(file["sample"]), file["size"])
            answer = {"path": path, "uploadMode": "lfs" if large else "regular"}
            answer["shouldIgnore"] = any(fnmatch.fnmatch(path, pattern) for pattern in ignored)
            if path in there:
                answer["oid"] = (sha256 if sha256(there[path]) in self.hub.large else git_sha1)(there[path])
            answers.append(answer)
        self.say(200, {"files": answers})

    def batch(self, name: str, about: dict[str, Any]) -> None:
        """Where each object goes; nothing for those that are here."""
        hub = self.hub
        if not self.may_write(name, pull=True):
            return self.forbid()
        answers = []
        for each in about["objects"]:
            answer = {"oid": each["oid"], "size": each["size"]}
            if each["oid"] not in hub.objects:
                place, header = f"{hub.url}/lfs/{each['oid']}", {}
                if hub.part_size:
                    count = -(-each["size"] // hub.part_size)
                    header = {str(number): f"{place}/{number}" for number in range(1, count + 1)}
                    header["chunk_size"], place = str(hub.part_size), f"{hub.url}/lfs/complete"
                answer["actions"] = {"upload": {"href": place, "header": header}}
            answers.append(answer)
        return self.say(200, {"transfer": "multipart" if hub.part_size else "basic", "objects": answers})

    def take_commit(self, name: str, revision: str, pull: bool, lines: list[dict[str, Any]]) -> None:
        hub = self.hub
        with hub.lock:
            parent = hub.refs[f"{name}@{revision}"]
            files, header = dict(hub.commits[parent]), {}
            for line in lines:
                value = line["value"]
                if line["key"] == "header":
                    header = value
                elif line["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                    hub.received[value["path"]] += len(files[value["path"]])
                elif line["key"] == "lfsFile":
                    if value["oid"] not in hub.objects:
                        return self.say(400, {"error": f"no object {value['oid']}"})
                    files[value["path"]] = hub.objects[value["oid"]]
                    hub.large.add(value["oid"])
                elif files.pop(value["path"], None) is None:
                    message = "A file with this name doesn't exist"
                    return self.answer(404, {"X-Error-Code": "EntryNotFound", "X-Error-Message": message})
            if header.get("parentCommit", parent) != parent and not pull:
                return self.say(412, {"error": "A commit has happened since. Please refresh and try again."})
            number = 1 + sum(key.startswith(f"{name}@refs/pr/") for key in hub.refs)
            target = f"refs/pr/{number}" if pull else revision
            sha = hub.put(name, files, target, (parent, header["summary"], len(hub.pushes)))
            hub.pushes.append({"name": name, "revision": target, "commit": sha, "parent": parent, "lines": lines})
        place = f"{hub.url}/{name.removeprefix('models/')}"
        answer = {"success": True, "commitOid": sha, "commitUrl": f"{place}/commit/{sha}", "hookOutput": ""}
        if pull:
            answer |= {"pullRequestUrl": f"{place}/discussions/{number}", "pullRequestNum": number}
        return self.say(200, answer)

    def may_write(self, name: str, pull: bool = False) -> bool:
        return self.role() == "write" and (pull or name not in self.hub.foreign)

    def forbid(self) -> None:
        self.answer(403, {"X-Error-Message": "Authorization error."})

    def say(self, status: int, document: Any) -> None:
        self.answer(status, {"Content-Type": "application/json"}, json.dumps(document).encode())

    def body(self) -> Any:
        """What the client sends, in pieces."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            piece = self.rfile.read(min(left, CHUNK))
            if not piece:
                raise CutOff
            left -= len(piece)
            yield piece
