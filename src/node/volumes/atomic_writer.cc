#include "node/volumes/atomic_writer.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <set>

#include "base/file.h"

namespace keles::node {
namespace {

Status failed(const std::string& what, const std::string& path) {
  return Status::internal(what + " " + path + ": " + std::strerror(errno));
}

std::string parent_of(const std::string& path) { return path.substr(0, path.rfind('/')); }
std::string first_part(const std::string& path) { return path.substr(0, path.find('/')); }

bool same(const std::string& data_dir, const Payload& payload) {
  for (const auto& [path, file] : payload) {
    auto text = read_file(data_dir + "/" + path);
    if (!text.ok() || *text != file.data) return false;
    struct stat st;
    if (stat((data_dir + "/" + path).c_str(), &st) != 0) return false;
    if ((st.st_mode & 0777) != static_cast<mode_t>(file.mode)) return false;
  }
  return true;
}

// Every file below `dir`, relative to it.
void collect(const std::string& dir, const std::string& prefix, std::set<std::string>& out) {
  auto names = list_directory(dir);
  if (!names.ok()) return;
  for (const std::string& n : *names) {
    struct stat st;
    std::string path = dir + "/" + n;
    if (lstat(path.c_str(), &st) != 0) continue;
    if (S_ISDIR(st.st_mode)) {
      collect(path, prefix + n + "/", out);
    } else {
      out.insert(prefix + n);
    }
  }
}

Status write_all(const std::string& dir, const Payload& payload) {
  for (const auto& [path, file] : payload) {
    if (!valid_projected_path(path))
      return Status::bad_request("invalid path \"" + path + "\" in volume");
    std::string full = dir + "/" + path;
    TRY(make_directories(parent_of(full)));
    TRY(write_file(full, file.data, file.mode));
    if (chmod(full.c_str(), static_cast<mode_t>(file.mode)) != 0) return failed("chmod", full);
    if (file.uid > 0 && chown(full.c_str(), static_cast<uid_t>(file.uid), -1) != 0)
      return failed("chown", full);
  }
  return {};
}

}  // namespace

bool valid_projected_path(std::string_view path) {
  if (path.empty() || path.size() > PATH_MAX || path[0] == '/') return false;
  if (path.starts_with("..")) return false;
  while (!path.empty()) {
    std::string_view part = path.substr(0, path.find('/'));
    if (part == "..") return false;
    path.remove_prefix(std::min(path.size(), part.size() + 1));
  }
  return true;
}

Result<bool> write_payload(const std::string& directory, const Payload& payload) {
  TRY(make_directories(directory));
  std::string link = directory + "/..data";
  char target[NAME_MAX + 1];
  ssize_t n = readlink(link.c_str(), target, NAME_MAX);
  std::string old = n > 0 ? std::string(target, static_cast<size_t>(n)) : "";
  std::set<std::string> have;
  if (!old.empty()) {
    collect(directory + "/" + old, "", have);
    if (have.size() == payload.size() && same(directory + "/" + old, payload)) return false;
  }
  std::string fresh = directory + "/..new_XXXXXX";
  if (!mkdtemp(fresh.data())) return failed("mkdtemp", fresh);
  if (chmod(fresh.c_str(), 0755) != 0) return failed("chmod", fresh);
  TRY(write_all(fresh, payload));
  std::string name = fresh.substr(fresh.rfind('/') + 1), temporary = directory + "/..data_tmp";
  unlink(temporary.c_str());
  if (symlink(name.c_str(), temporary.c_str()) != 0) return failed("symlink", temporary);
  if (rename(temporary.c_str(), link.c_str()) != 0) return failed("rename", link);
  std::set<std::string> wanted;
  for (const auto& [path, file] : payload) wanted.insert(first_part(path));
  for (const std::string& w : wanted) {
    std::string visible = directory + "/" + w;
    if (symlink(("..data/" + w).c_str(), visible.c_str()) != 0 && errno != EEXIST)
      return failed("symlink", visible);
  }
  for (const std::string& h : have)
    if (!wanted.contains(first_part(h))) unlink((directory + "/" + first_part(h)).c_str());
  if (!old.empty()) TRY(remove_tree(directory + "/" + old));
  return true;
}

}  // namespace keles::node
