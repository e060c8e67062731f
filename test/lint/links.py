"""What a target includes and what it links are the same, and every source is some target's.

cmake/library.cmake makes a link line the permission to include; but what a library links, its users
see, too. So a target could live from the links of others. Here each target names itself every
library of ours whose headers its sources include, and none besides. What is linked with what comes
from cmake (`targets.txt` in the build folder, written by cmake/targets.cmake).
"""
import os
import re

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"', re.M)


class Target:
    def __init__(self, line):
        self.name, self.type, self.folder, sources, links = line.rstrip("\n").split("\t")
        self.sources = [s for s in sources.split(";") if s]
        self.links = [s for s in links.split(";") if s]

    @property
    def library(self):
        return self.type == "STATIC_LIBRARY"


def read_targets(build, root):
    """The targets of a configured build whose sources are in this checkout."""
    path = os.path.join(build, "targets.txt")
    targets = []
    with open(path, encoding="utf-8") as f:
        for line in f:
            target = Target(line)
            folder = os.path.relpath(target.folder, root)
            target.folder = "" if folder == "." else folder
            target.sources = [os.path.normpath(os.path.join(target.folder, s)) if not os.path.isabs(s)
                              else os.path.relpath(s, root) for s in target.sources]
            targets.append(target)
    return targets


def check(tree, report):
    if tree.build is None:
        return
    targets = read_targets(tree.build, tree.root)
    check_targets(tree, targets, report)
    check_built(tree, targets, report)


def check_built(tree, targets, report):
    """Every source is built by something: what no target has, and no CMakeLists.txt of its folder names, is dead."""
    built = {s for t in targets for s in t.sources}
    for path in tree.files("*.cc"):
        folder, name = os.path.split(path)
        lists = os.path.join(folder, "CMakeLists.txt")
        if path not in built and not (tree.has(lists) and re.search(rf"\b{re.escape(name)}\b", tree.read(lists))):
            report(path, 1, "no target builds this file", "name it in a CMakeLists.txt, or take it out of the tree")


def check_targets(tree, targets, report):
    libraries = {t.folder: t for t in targets if t.library}
    by_name = {t.name: t for t in targets if t.library}
    generated = next((t for t in targets if t.name == "machinery"), None)

    def owner(path):
        """The library in whose folder, or nearest above, a header lies."""
        while path:
            path = os.path.dirname(path)
            if path in libraries:
                return libraries[path]
        return None

    def resolve(includer, name):
        first, _, rest = name.partition("/")
        places = [os.path.join("src", name), name, os.path.join(os.path.dirname(includer), name)]
        if first in by_name:  # a folder seen under its library's name
            places.append(os.path.join(by_name[first].folder, rest))
        return next((p for p in map(os.path.normpath, places) if tree.has(p)), None)

    def includes(path):
        """What a file of ours includes: where, what, and the header's path if it lies in this tree."""
        text = tree.read(path)
        for m in INCLUDE.finditer(text):
            yield text.count("\n", 0, m.start()) + 1, m[1], resolve(path, m[1])

    def sources(target):
        return [s for s in target.sources if s.endswith((".cc", ".h")) and tree.has(s)]

    # The headers that libraries' sources lead to. Others in a library's folder are its tests' own.
    todo, product = [s for t in targets if t.library for s in sources(t)], set()
    while todo:
        for _, _, header in includes(todo.pop()):
            if header and header not in product:
                product.add(header)
                todo.append(header)

    for target in targets:
        files = sources(target)
        if target.library:
            files += [h for h in sorted(product) if owner(h) is target]
        used = {}
        for path in files:  # grows by headers that are no library's
            for at, name, header in includes(path):
                if header:
                    library = owner(header)
                else:  # compiled from api/
                    library = generated if name.startswith("api/") or name == "kinds.h" else None
                if header and header not in product and header not in files:
                    files.append(header)
                if library and library is not target:
                    used.setdefault(library.name, (path, at, name))
        lists, line = _place(tree, target)
        for name, (path, at, header) in sorted(used.items()):
            if name not in target.links:
                report(path, at, f'"{header}" is of {name}, which {target.name} does not link',
                       f"add {name} to the DEPS of {target.name} ({lists}:{line}), or do without")
        for name in target.links:
            if name in by_name and name not in used and name != target.name:
                report(lists, line, f"{target.name} links {name} and includes nothing of it", f"take {name} out of its DEPS")


def _place(tree, target):
    path = os.path.join(target.folder, "CMakeLists.txt")
    if tree.has(path):
        m = re.search(rf"\(\s*{re.escape(target.name)}\b", tree.read(path))
        return path, tree.read(path).count("\n", 0, m.start()) + 1 if m else 1
    return "CMakeLists.txt", 1
