"""The files of a checkout, read once."""
import fnmatch
import os
import shutil
import subprocess


class Tree:
    def __init__(self, root):
        self.root = os.path.abspath(root)
        self._texts = {}
        self._all = None

    @property
    def all(self):
        """Every tracked file, and every new one that is not ignored; without git, every file outside build/."""
        if self._all is None:
            found = None
            if os.path.exists(os.path.join(self.root, ".git")) and shutil.which("git"):
                found = subprocess.run(
                    ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
                    cwd=self.root, capture_output=True, text=True, check=False)
            if found and found.returncode == 0:
                paths = found.stdout.splitlines()
            else:
                paths = []
                for folder, folders, names in os.walk(self.root):
                    folders[:] = [f for f in folders if not f.startswith((".", "build", "__pycache__"))]
                    paths += [os.path.relpath(os.path.join(folder, n), self.root) for n in names]
            self._all = sorted(p for p in set(paths) if os.path.isfile(os.path.join(self.root, p)))
            self._known = set(self._all)
            for path in self._all:
                while path := os.path.dirname(path):
                    self._known.add(path)
        return self._all

    def files(self, *patterns):
        return [p for p in self.all if any(fnmatch.fnmatch(p, pattern) for pattern in patterns)]

    def has(self, path):
        """Whether a tracked file or folder has this path."""
        return self.all is not None and path in self._known

    def read(self, path):
        if path not in self._texts:
            with open(os.path.join(self.root, path), encoding="utf-8", errors="replace") as f:
                self._texts[path] = f.read()
        return self._texts[path]
