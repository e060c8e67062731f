"""Files short enough to read, and nothing of one machine in them."""
import re

MOST_LINES = 1000
SOURCES = ("*.cc", "*.h", "*.py", "*.sh", "*.cmake", "*.yaml", "*.e2e", "*CMakeLists.txt", "dev")
# A machine's own places, and the registries and mirrors that packages come from: what is built here
# is built the same anywhere, from what the system's package manager has.
PLACES = re.compile(
    r"(?<![\w.])(?P<path>/(?:root|home|work|Users|workspace)/[\w.-]+)"
    r"|(?P<host>\b(?:registry\.npmjs\.org|registry\.yarnpkg\.com|pypi\.org|files\.pythonhosted\.org"
    r"|(?:[\w-]+\.)*debian\.org/debian|(?:deb|security|ftp|snapshot|archive)(?:\.\w+)*\.(?:debian\.org|ubuntu\.com)"
    r"|proxy\.golang\.org|sum\.golang\.org|crates\.io|rubygems\.org|repo1?\.maven\.(?:org|apache\.org)"
    r"|repo\.maven\.apache\.org|github\.com/[\w.-]+/[\w.-]+/releases)\b)")
# Paths inside a container or an example, which name no machine of ours.
MAY = re.compile(r"^/(?:root/(?:\.kube|\.docker)|home/(?:user|nobody))")


def check_length(tree, report):
    for path in tree.files(*SOURCES):
        lines = tree.read(path).count("\n")
        if lines > MOST_LINES:
            report(path, lines, f"{lines} lines", f"split it: {MOST_LINES} is the most, 500 the aim")


def check_places(tree, report):
    for path in tree.all:
        if path.startswith("test/lint/"):
            continue  # names them to find them
        for number, line in enumerate(tree.read(path).split("\n"), 1):
            if len(line) > 4000:
                continue
            for m in PLACES.finditer(line):
                if m["host"]:
                    report(path, number, f"the host of a package registry: {m['host']}",
                           "name the package; the system's own configuration says where it comes from")
                elif not MAY.match(m["path"]):
                    report(path, number, f"a path of one machine: {m['path']}",
                           "make it relative to the checkout, or take it from the environment")
