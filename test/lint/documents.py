"""READMEs: each folder has one, and what they name is there."""
import os
import re

# Folders whose every subfolder with sources is a room of its own.
ROOMS = ("src",)
TOP = ("sim", "test", "bench", "fuzz", "api", "images", "docs", "test/e2e", "test/lint", "test/dev")
EXTENSIONS = "h|cc|md|py|yaml|sh|cmake|e2e|txt|json|conf"
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
PATH = re.compile(r"^[\w.@<>*-]+(?:/[\w.@<>*-]+)*/?$")
IN_COMMENT = re.compile(rf"(?<![\w/.<$}}-])((?:[\w-]+/)+[\w.-]+\.(?:{EXTENSIONS}))\b")
PROGRAM = re.compile(r"^[a-z0-9_]+_(?:test|fuzz|bench)$")
# Made by a build or by a running cluster; not of the checkout.
ELSEWHERE = ("build/", "/", "~", "http:", "https:", "mailto:", "http2/", "http/")


def check_readmes(tree, report):
    folders = {os.path.dirname(p) for p in tree.files("*.cc", "*.h") if p.startswith(tuple(r + "/" for r in ROOMS))}
    for folder in sorted(folders | set(ROOMS) | set(TOP)):
        if tree.has(folder) and not tree.has(f"{folder}/README.md"):
            report(f"{folder}/README.md", 1, f"{folder}/ has no README",
                   "say in one screen what comes in, what goes out, what holds, where to start, what tests it")


def check_names(tree, report):
    programs = {os.path.splitext(os.path.basename(p))[0] for p in tree.files("*_test.*", "*_fuzz.cc", "*_bench.cc")}
    targets = set()
    for path in tree.files("*CMakeLists.txt"):
        targets |= set(re.findall(r"\b\w+_(?:test|fuzz|bench)\b", tree.read(path)))
    for path in tree.files("*.md"):
        folder = os.path.dirname(path)
        for number, line in enumerate(tree.read(path).split("\n"), 1):
            for m in LINK.finditer(line):
                name = m[1]
                if not name.startswith(ELSEWHERE) and not tree.has(os.path.normpath(os.path.join(folder, name))):
                    _missing(report, path, number, name)
            for m in SPAN.finditer(line):
                for name in m[1].split():
                    if PROGRAM.match(name):
                        if name not in programs | targets:
                            _missing(report, path, number, name)
                    elif is_file_name(tree, folder, name) and not find(tree, folder, name):
                        _missing(report, path, number, name)
    for path in tree.files("src/*.cc", "src/*.h", "sim/*.cc", "sim/*.h", "test/*.cc", "test/*.h", "bench/*", "fuzz/*"):
        folder = os.path.dirname(path)
        for number, line in enumerate(tree.read(path).split("\n"), 1):
            at = line.find("//")
            if at < 0 or "://" in line:
                continue
            for m in IN_COMMENT.finditer(line, at):
                if is_file_name(tree, folder, m[1]) and not find(tree, folder, m[1]):
                    _missing(report, path, number, m[1])


def _missing(report, path, line, name):
    report(path, line, f"{name} is not there", "name what is (it has moved, or gone), from this folder, src/ or the top")


def is_file_name(tree, folder, word):
    """Whether a word in a code span is meant as a file or folder of this checkout."""
    if not PATH.match(word) or word.startswith(ELSEWHERE + ("-", ".")):
        return False
    first = word.split("/")[0]
    if re.search(rf"\.(?:{EXTENSIONS})$", word):
        return not first.isupper() and not first.startswith("<")  # STATE/...: in a running cluster
    if "/" not in word or re.search(r"[A-Z]{4}|[<.]", word):
        return False
    return tree.has(first) or tree.has(f"src/{first}") or tree.has(os.path.join(folder, first))


def find(tree, folder, word):
    """Whether `word` names something seen from `folder`, from src/ or from the top; `*`, `<kind>`,
    `KIND` stand for anything, and what has no ending may stand for a file with one."""
    word = word.rstrip("/.")
    made = re.match(r"^api/([a-z]+)_(v\w+)\.h$", word)  # by api/compile.py
    if word == "api/GROUP_VERSION.h" or made and tree.has(f"api/{made[1]}/{made[2]}"):
        return True
    pattern = re.escape(word).replace(r"\*", "[^/]*")
    pattern = re.sub(r"\\?<[^<>]*\\?>|(?<![A-Za-z])[A-Z]{4,}(?![A-Za-z])(?!\\?\.md)", "[^/]*", pattern)
    wanted = re.compile(rf"^(?:{pattern})(?:\.[a-z0-9]+)?$")
    for base in {folder, os.path.dirname(folder), "src", ""}:
        direct = os.path.normpath(os.path.join(base, word))
        if tree.has(direct):
            return True
    bases = [b + "/" if b else "" for b in {folder, os.path.dirname(folder), "src", ""}]
    for known in tree.all + sorted(tree._known):
        for base in bases:
            if known.startswith(base) and wanted.match(known[len(base):]):
                return True
    return False
