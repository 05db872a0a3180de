#!/usr/bin/env python3
"""Checks proto/ against what may not change.

1. published.txt lists every field, value, call and reserved number ever published here. Each must be
   there still, unchanged, or be reserved now. `--publish` adds what is new; run it with each change.
2. Where the table of facts of TiKV's and PD's protocols is present (default:
   ../shared/reference/wire/wire.tsv beside the checkout), every message, enum and call of their
   packages must be in it with the same name, number, label and type. When absent, this says so.

Uses protoc and the standard library only.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PUBLISHED = pathlib.Path(__file__).with_name("published.txt")
# Packages of protocols that the table does not cover.
NOT_IN_TABLE = {"rutile", "etcdserverpb", "mvccpb", "grpc.health.v1"}

SCALARS = {
    1: "double", 2: "float", 3: "int64", 4: "uint64", 5: "int32", 6: "fixed64", 7: "fixed32",
    8: "bool", 9: "string", 12: "bytes", 13: "uint32", 15: "sfixed32", 16: "sfixed64",
    17: "sint32", 18: "sint64",
}


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def fields(data):
    """The fields of a message as {number: [values]}: enough protobuf to read descriptors."""
    found, at = {}, 0
    while at < len(data):
        tag, at = varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind == 2:
            size, at = varint(data, at)
            value, at = data[at:at + size], at + size
        else:
            size = {1: 8, 5: 4}[kind]
            value, at = data[at:at + size], at + size
        found.setdefault(tag >> 3, []).append(value)
    return found


def text(message, number):
    return message.get(number, [b""])[0].decode()


def flag(message, number):
    return bool(message.get(number, [0])[0])


class Wire:
    """Facts, each a tuple of strings whose first three say what it is about:
    ("message", "pkg.Owner", number, name, label, type), ("enum", "pkg.Owner", number, name),
    ("rpc", "pkg.Service", name, shape, types), ("reserved", "pkg.Owner", number or "name:x")."""

    def __init__(self):
        self.facts = set()

    def add_file(self, data):
        file = fields(data)
        package = text(file, 2)
        for message in file.get(4, []):
            self.add_message(package, fields(message))
        for enum in file.get(5, []):
            self.add_enum(package, fields(enum))
        for service in file.get(6, []):
            self.add_service(package, fields(service))

    def add_message(self, scope, message):
        owner = f"{scope}.{text(message, 1)}"
        maps = {}
        for nested in map(fields, message.get(3, [])):
            if flag(fields(nested.get(7, [b""])[0]), 7):
                key, value = (self.type_of(fields(f)) for f in nested[2])
                maps[f"{owner}.{text(nested, 1)}"] = f"map<{key},{value}>"
            else:
                self.add_message(owner, nested)
        for enum in message.get(4, []):
            self.add_enum(owner, fields(enum))
        oneofs = [text(fields(oneof), 1) for oneof in message.get(8, [])]
        for field in map(fields, message.get(2, [])):
            typ = self.type_of(field)
            label = "repeated" if field[4] == [3] else ""
            if 9 in field:
                label = f"oneof:{oneofs[field[9][0]]}"
            if typ in maps:
                label, typ = "map", maps[typ]
            self.facts.add(("message", owner, str(field[3][0]), text(field, 1), label, typ))
        for reserved in map(fields, message.get(9, [])):
            for number in range(reserved[1][0], reserved[2][0]):
                self.facts.add(("reserved", owner, str(number)))
        for name in message.get(10, []):
            self.facts.add(("reserved", owner, f"name:{name.decode()}"))
        self.facts.add(("type", owner, ""))

    def add_enum(self, scope, enum):
        owner = f"{scope}.{text(enum, 1)}"
        for value in map(fields, enum.get(2, [])):
            number = value.get(2, [0])[0]
            self.facts.add(("enum", owner, str(number), text(value, 1)))

    def add_service(self, package, service):
        owner = f"{package}.{text(service, 1)}"
        for call in map(fields, service.get(2, [])):
            shape = "->".join("stream" if flag(call, n) else "unary" for n in (5, 6))
            types = f"{text(call, 2)[1:]} -> {text(call, 3)[1:]}"
            self.facts.add(("rpc", owner, text(call, 1), shape, types))

    @staticmethod
    def type_of(field):
        return SCALARS.get(field[5][0]) or text(field, 6)[1:]


def ours(protoc):
    protos = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "proto").rglob("*.proto"))
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run([protoc, f"-I{ROOT}", f"--descriptor_set_out={out.name}", *protos],
                       check=True, cwd=ROOT)
        wire = Wire()
        for file in fields(pathlib.Path(out.name).read_bytes())[1]:
            wire.add_file(file)
    return wire.facts


def table(path):
    """The facts of the table in the same form."""
    facts = set()
    for line in path.read_text().splitlines()[1:]:
        _, package, kind, owner, member, number, label, typ = line.split("\t")
        owner = f"{package}.{owner}"
        # 'deprecated' is advice to programmers; it does not go over the wire.
        label = " ".join(w for w in label.replace(",", " ").split() if w != "deprecated")
        if kind in ("message", "enum"):
            facts.add(("type", owner, ""))
        if member == "reserved":
            first, last = map(int, number.split("-"))
            facts.update(("reserved", owner, str(n)) for n in range(first, last + 1))
        elif kind == "message" and member != "-":
            facts.add(("message", owner, number, member, label, typ))
        elif kind == "enum":
            facts.add(("enum", owner, number, member))
        elif kind == "rpc":
            facts.add(("rpc", owner, member, label, typ))
    return facts


def check_table(facts, reference):
    wrong = []
    packages = {f[1].split(".")[0] for f in reference}
    for fact in sorted(facts):
        if any(fact[1].startswith(p + ".") for p in NOT_IN_TABLE):
            continue
        if fact[1].split(".")[0] not in packages:
            wrong.append(f"{fact[1]}: a package that the table does not have")
        elif fact not in reference:
            near = [r for r in reference if r[:2] == fact[:2] and set(r[2:4]) & set(fact[2:4])]
            wrong.append(f"here {' '.join(fact)}; in the table {near or 'nothing like it'}")
    return wrong


def check_published(facts, published):
    wrong = []
    reserved = {f[1:3] for f in facts if f[0] == "reserved"}
    for fact in sorted(published - facts):
        if fact[0] == "message" and (fact[1], fact[2]) in reserved:
            continue
        wrong.append(f"published, and now changed or gone: {' '.join(fact)}")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--protoc", default="protoc")
    parser.add_argument("--table", type=pathlib.Path,
                        default=ROOT.parent / "shared/reference/wire/wire.tsv")
    parser.add_argument("--publish", action="store_true", help="add what is new to published.txt")
    args = parser.parse_args()

    facts = ours(args.protoc)
    published = set()
    if PUBLISHED.exists():
        published = {tuple(line.split("\t")) for line in PUBLISHED.read_text().splitlines()}
    wrong = check_published(facts, published)
    if args.publish and not wrong:
        lines = sorted("\t".join(fact) for fact in published | facts)
        PUBLISHED.write_text("\n".join(lines) + "\n")
    elif facts - published:
        wrong += [f"new, and not in published.txt (run with --publish): {' '.join(fact)}"
                  for fact in sorted(facts - published)]

    if args.table.exists():
        wrong += check_table(facts, table(args.table))
        compared = f"compared with {args.table}"
    else:
        compared = f"SKIPPED the comparison with the table of facts: {args.table} is not there"
    for line in wrong:
        print(line)
    print(f"{len(facts)} facts in proto/, {len(wrong)} wrong; {compared}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
