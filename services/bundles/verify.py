"""Checks a bundle of one case, with nothing else at hand: python verify.py BUNDLE.zip [PUBLIC_KEY_FILE]

Says what was changed, is missing or was added, a line each, and how far the rest is proven:

- every file has the SHA-256 that manifest.json says, and the service has signed manifest.json;
- every result, report and page has the hash that the event says which stored it;
- every event is one of a chain, hash(n) = SHA-256(hash(n-1) || line feed || SHA-256(event n)), of whose other events
  chain.bin has the digests; and the service has signed a hash of the chain that comes after them (heads.jsonl).

The signatures are Ed25519 and need `pip install cryptography`. The key in the bundle may be whoever's made it: give the
service's own, which you had from elsewhere. That no event of the case was left out, the signature of the manifest says.
Exits with 0 if all is proven, 1 if something was changed, 2 if something is not proven."""

import hashlib
import json
import sys
import zipfile
from typing import Any

MADE = ("manifest.json", "manifest.sig")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def read(path: str, wrong: list[str]) -> dict[str, bytes]:
    """The members of the zip that can be read whole."""
    files = {}
    with zipfile.ZipFile(path) as bundle:
        for member in bundle.infolist():
            try:
                data = bundle.read(member)
            except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError):
                wrong.append(f"changed\t{member.filename}")
                continue
            if member.filename in files:
                wrong.append(f"added\t{member.filename}")
            files[member.filename] = data
    return files


def check_manifest(files: dict[str, bytes], known: dict[str, str], wrong: list[str]) -> None:
    wrong += [f"missing\t{name}" for name in known if name not in files and f"changed\t{name}" not in wrong]
    wrong += [f"changed\t{name}" for name in known if name in files and sha256(files[name]) != known[name]]
    wrong += [f"added\t{name}" for name in files if name not in known and name not in MADE]


def is_signed(key: bytes, signature: str, message: bytes) -> bool:
    """Raises ImportError where signatures cannot be checked."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.decode())).verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True


def check_chain(files: dict[str, bytes], first: int, before: str, wrong: list[str]) -> tuple[dict[int, str], list[Any]]:
    """The digest of each event by its number, and the heads that fit the chain."""
    digests = [files["chain.bin"][at : at + 32].hex() for at in range(0, len(files["chain.bin"]), 32)]
    hashes, at = {}, before
    for seq, digest in enumerate(digests, first):
        at = hashes[seq] = sha256(f"{at}\n{digest}".encode())
    heads = [json.loads(line) for line in files["heads.jsonl"].splitlines()]
    wrong += [f"chain_rewritten\t{head['seq']}" for head in heads if hashes.get(head["seq"]) != head["hash"]]
    return dict(enumerate(digests, first)), heads


def check_bound(files: dict[str, bytes], events: list[Any], wrong: list[str], unproven: list[str]) -> None:
    """Results, reports and pages against the events that stored them; reviews against those of who gave them."""
    bound: dict[str, str] = {}
    for event in events:
        number, facts = event["object_id"].rpartition("-")[2], event["facts"]
        if event["action"] == "result.stored":
            bound[f"results/{number}.json"] = facts.get("record_sha256", "")
        if event["action"] == "report.stored":
            bound |= {f"reports/{number}.json": facts["record"], f"reports/{number}.html": facts.get("page", "")}
    for name in (one for one in files if one.startswith(("results/", "reports/"))):
        if not bound.get(name):
            unproven.append(f"bound by no event\t{name}")
        elif bound[name] != sha256(files[name]):
            wrong.append(f"not as stored\t{name}")
    said = [(one["object_id"], one["action"], one["actor"]) for one in events]
    for one in json.loads(files["reviews.json"]):
        if (one["result_id"], f"result.{one['verdict']}", one["client"]) not in said:
            wrong += ["not as given\treviews.json"]


def check(path: str, key_file: str | None) -> tuple[list[str], list[str]]:
    """What is wrong, and what is not proven."""
    wrong: list[str] = []
    unproven: list[str] = []
    files = read(path, wrong)
    if "manifest.json" not in files:
        return wrong or ["missing\tmanifest.json"], []
    manifest = json.loads(files["manifest.json"])
    check_manifest(files, manifest["files"], wrong)
    if wrong:
        return wrong, []
    digests, heads = check_chain(files, manifest["first"], manifest["before"], wrong)
    events = [json.loads(line) for line in files["events.jsonl"].splitlines()]
    for line, event in zip(files["events.jsonl"].splitlines(), events, strict=True):
        if event["seq"] in digests and digests[event["seq"]] != sha256(line):
            wrong.append(f"event_changed\t{event['seq']}")
        elif event["seq"] not in digests or event["seq"] > max((head["seq"] for head in heads), default=0):
            unproven.append(f"under no signed head\tevent {event['seq']}")
    check_bound(files, events, wrong, unproven)
    with open(key_file, "rb") if key_file else zipfile.ZipFile(path).open("signing.pub") as file:
        key = file.read().strip()
    try:
        for head in heads:
            message = f"clinimm audit head 1\n{head['seq']}\n{head['hash']}\n{head['time']}".encode()
            wrong += [] if is_signed(key, head["signature"], message) else [f"head_forged\t{head['seq']}"]
        message = b"clinimm bundle 1\n" + files["manifest.json"]
        if not files.get("manifest.sig"):
            unproven.append("not signed\tmanifest.json")
        elif not is_signed(key, files["manifest.sig"].decode(), message):
            wrong.append("forged\tmanifest.sig")
    except ImportError:
        unproven.append("signatures are not checked\tpip install cryptography")
    return wrong, unproven


if __name__ == "__main__":
    found, open_ = check(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
    print("\n".join([*found, *open_]) or "sound, and proven")
    sys.exit(1 if found else 2 if open_ else 0)
