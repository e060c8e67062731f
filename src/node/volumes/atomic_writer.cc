#include "node/volumes/atomic_writer.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <set>

namespace keles::node {
namespace {

constexpr const char* kData = "..data";
constexpr const char* kNewData = "..data_tmp";

Status failed(const std::string& what, const std::string& path) {
  return Status::internal(what + " " + path + ": " + std::strerror(errno));
}

std::string first_part(const std::string& path) { return path.substr(0, path.find('/')); }

// "..17" -> 17: the names of our own directories, and nothing else.
std::optional<uint64_t> generation(std::string_view name) {
  if (!name.starts_with("..") || name.size() < 3 || name[2] == '0') return std::nullopt;
  uint64_t n = 0;
  auto [end, error] = std::from_chars(name.data() + 2, name.data() + name.size(), n);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return n;
}

class Writer {
 public:
  Writer(const Fd& directory, Payload payload, std::optional<gid_t> group)
      : dir_(directory), payload_(std::move(payload)), group_(group) {}

  Result<bool> write() {
    std::string current = read_link(dir_, kData).value_or("");
    if (!generation(current)) current.clear();
    bool changed = current.empty() || !holds_payload(current);
    if (changed) {
      TRY_ASSIGN(fresh, write_fresh());
      Status s = publish(fresh);
      if (!s.ok()) {
        (void)remove_tree_beneath(dir_, fresh).ok();
        return s;
      }
      current = fresh;
    }
    TRY(make_links());
    TRY(remove_stale(current));
    return changed;
  }

 private:
  mode_t mode_of(const ProjectedFile& f) const {
    return static_cast<mode_t>(f.mode) | (group_ ? 0440u : 0u);
  }
  uid_t uid_of(const ProjectedFile& f) const {
    return f.uid < 0 ? geteuid() : static_cast<uid_t>(f.uid);
  }
  gid_t gid() const { return group_.value_or(getegid()); }
  Ownership of_directories() const { return {.mode = group_ ? 02755u : 0755u, .gid = gid()}; }

  bool holds_payload(const std::string& name) const {
    auto data = open_directory_beneath(dir_, name);
    return data.ok() && holds(*data, "");
  }

  // Whether `dir` has exactly the payload's part below `prefix` ("" or "sub/").
  bool holds(const Fd& dir, const std::string& prefix) const {
    std::set<std::string> wanted;
    for (const auto& [path, file] : payload_)
      if (path.starts_with(prefix)) wanted.insert(first_part(path.substr(prefix.size())));
    auto have = list_directory(dir);
    if (!have.ok() || !std::equal(have->begin(), have->end(), wanted.begin(), wanted.end()))
      return false;
    for (const std::string& name : wanted) {
      auto file = payload_.find(prefix + name);
      if (file != payload_.end()) {
        if (!same(dir, name, file->second)) return false;
        continue;
      }
      auto below = open_directory_beneath(dir, name);
      if (!below.ok() || !holds(*below, prefix + name + "/")) return false;
    }
    return true;
  }

  bool same(const Fd& dir, const std::string& name, const ProjectedFile& file) const {
    struct stat st {};
    if (::fstatat(dir.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return false;
    if (!S_ISREG(st.st_mode) || (st.st_mode & 07777) != mode_of(file)) return false;
    if (st.st_uid != uid_of(file) || st.st_gid != gid()) return false;
    if (static_cast<size_t>(st.st_size) != file.data.size()) return false;
    auto text = read_file_beneath(dir, name);
    return text.ok() && *text == file.data;
  }

  // The name of the new directory.
  Result<std::string> write_fresh() {
    TRY_ASSIGN(names, list_directory(dir_));
    uint64_t next = 1;
    for (const std::string& n : names)
      if (auto g = generation(n); g && *g < UINT64_MAX) next = std::max(next, *g + 1);
    std::string name = ".." + std::to_string(next);
    if (::mkdirat(dir_.get(), name.c_str(), 0700) != 0) return failed("mkdir", name);
    Status s = fill(name);
    if (s.ok()) return name;
    (void)remove_tree_beneath(dir_, name).ok();
    return s;
  }

  Status fill(const std::string& name) {
    TRY_ASSIGN(fresh, open_directory_beneath(dir_, name));
    for (const auto& [path, file] : payload_) {
      size_t slash = path.rfind('/');
      if (slash != std::string::npos)
        TRY(make_directories_beneath(fresh, path.substr(0, slash), of_directories()));
      TRY(create_file_beneath(fresh, path, file.data, mode_of(file), uid_of(file), gid()));
    }
    Ownership own = of_directories();
    if (::fchown(fresh.get(), static_cast<uid_t>(-1), *own.gid) != 0) return failed("chown", name);
    if (::fchmod(fresh.get(), *own.mode) != 0) return failed("chmod", name);
    return {};
  }

  // The moment of change.
  Status publish(const std::string& name) {
    TRY(remove_tree_beneath(dir_, kNewData));
    if (::symlinkat(name.c_str(), dir_.get(), kNewData) != 0) return failed("symlink", kNewData);
    struct stat st {};
    bool there = ::fstatat(dir_.get(), kData, &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (there && S_ISDIR(st.st_mode)) TRY(remove_tree_beneath(dir_, kData));
    if (::renameat(dir_.get(), kNewData, dir_.get(), kData) != 0) return failed("rename", kNewData);
    return {};
  }

  Status make_links() {
    std::map<std::string, uid_t> wanted;
    for (const auto& [path, file] : payload_) wanted.emplace(first_part(path), uid_of(file));
    for (const auto& [name, uid] : wanted) {
      std::string target = std::string(kData) + "/" + name;
      auto link = read_link(dir_, name);
      if (link == target) continue;
      if (link) TRY(remove_file_beneath(dir_, name));
      if (::symlinkat(target.c_str(), dir_.get(), name.c_str()) != 0) {
        if (errno == EEXIST) continue;  // a mount point: what is mounted there hides the file
        return failed("symlink", name);
      }
      (void)!::fchownat(dir_.get(), name.c_str(), uid, gid(), AT_SYMLINK_NOFOLLOW);
    }
    return {};
  }

  // Links to what is gone, and directories of ours but `current`.
  Status remove_stale(const std::string& current) {
    std::set<std::string> wanted;
    for (const auto& [path, file] : payload_) wanted.insert(first_part(path));
    TRY_ASSIGN(names, list_directory(dir_));
    for (const std::string& n : names) {
      if (generation(n) && n != current) TRY(remove_tree_beneath(dir_, n));
      if (!wanted.contains(n) && read_link(dir_, n) == std::string(kData) + "/" + n)
        TRY(remove_file_beneath(dir_, n));
    }
    return {};
  }

  const Fd& dir_;
  Payload payload_;
  std::optional<gid_t> group_;
};

// "a//b/./c" -> "a/b/c".
std::string cleaned(std::string_view path) {
  std::string out;
  while (!path.empty()) {
    std::string_view part = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), part.size() + 1));
    if (part.empty() || part == ".") continue;
    if (!out.empty()) out += '/';
    out += part;
  }
  return out;
}

}  // namespace

bool valid_projected_path(std::string_view path) {
  if (path.empty() || path.size() > PATH_MAX || path[0] == '/') return false;
  if (path.starts_with("..") || cleaned(path).empty()) return false;
  while (!path.empty()) {
    std::string_view part = path.substr(0, path.find('/'));
    if (part == ".." || part.size() > NAME_MAX) return false;
    path.remove_prefix(std::min(path.size(), part.size() + 1));
  }
  return true;
}

Result<bool> write_payload(const Fd& directory, const Payload& payload,
                           std::optional<gid_t> group) {
  Payload clean;
  for (const auto& [path, file] : payload) {
    std::string c = cleaned(path);
    if (!valid_projected_path(path) || !valid_projected_path(c))
      return Status::bad_request("invalid path \"" + path + "\" in volume");
    clean[c] = file;
  }
  return Writer(directory, std::move(clean), group).write();
}

}  // namespace keles::node
