#include "kind/cgroups.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "base/file.h"

namespace keles::kind {
namespace {

std::string read_line(const std::string& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

std::string parent_of(const std::string& path) {
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

// A new v1 cpuset holds nothing, and no process may join it before it does.
Status prepare_cpuset(const std::string& directory) {
  for (const char* file : {"/cpuset.cpus", "/cpuset.mems"})
    if (path_exists(directory + file) && read_line(directory + file).empty())
      TRY(write_in_place(directory + file, read_line(parent_of(directory) + file)));
  return Status();
}

// Passes every controller that `directory` has on to its children.
Status delegate_controllers(const std::string& directory) {
  std::istringstream names(read_line(directory + "/cgroup.controllers"));
  std::string name;
  while (names >> name) TRY(write_in_place(directory + "/cgroup.subtree_control", "+" + name));
  return Status();
}

// The processes of one cgroup, without those of its children.
std::vector<std::string> own_processes(const std::string& directory) {
  std::vector<std::string> out;
  std::ifstream in(directory + "/cgroup.procs");
  for (std::string pid; in >> pid;) out.push_back(pid);
  return out;
}

void collect_processes(const std::string& directory, std::set<pid_t>* out) {
  std::ifstream in(directory + "/cgroup.procs");
  pid_t pid;
  while (in >> pid)
    if (pid > 0) out->insert(pid);
  for (const std::string& name : list_directory(directory).value_or({})) {
    struct stat st;
    std::string child = directory + "/" + name;
    if (lstat(child.c_str(), &st) == 0 && S_ISDIR(st.st_mode)) collect_processes(child, out);
  }
}

bool remove_directories(const std::string& directory) {
  for (const std::string& name : list_directory(directory).value_or({})) {
    struct stat st;
    std::string child = directory + "/" + name;
    if (lstat(child.c_str(), &st) == 0 && S_ISDIR(st.st_mode)) remove_directories(child);
  }
  return rmdir(directory.c_str()) == 0 || errno == ENOENT;
}

}  // namespace

Result<std::vector<CgroupHierarchy>> cgroup_hierarchies() {
  std::ifstream in("/proc/self/mountinfo");
  std::vector<CgroupHierarchy> v1, v2;
  std::string line;
  while (std::getline(in, line)) {
    std::istringstream fields(line.substr(0, line.find(" - ")));
    std::istringstream tail(line.substr(std::min(line.find(" - ") + 3, line.size())));
    std::string skip, mount_point, type, source, options;
    fields >> skip >> skip >> skip >> skip >> mount_point;
    tail >> type >> source >> options;
    if (type == "cgroup2") v2.push_back({mount_point, "", true});
    if (type != "cgroup") continue;
    std::string controllers, word;
    for (std::istringstream words(options); std::getline(words, word, ',');)
      if (word != "rw" && word != "ro" && word != "xattr" && word.rfind("release_agent", 0) != 0 &&
          word != "clone_children" && word != "none")
        controllers += (controllers.empty() ? "" : ",") + word;
    v1.push_back({mount_point, controllers, false});
  }
  if (!v1.empty()) return v1;
  if (v2.empty())
    return Status::internal("no cgroup file system is mounted: mount one on /sys/fs/cgroup");
  v2.resize(1);
  return v2;
}

Status delegate_from_root(const std::string& mount_point) {
  if (path_exists(mount_point + "/cgroup.type")) {
    std::string leaf = mount_point + "/init";
    auto processes = own_processes(mount_point);
    if (!processes.empty() && mkdir(leaf.c_str(), 0755) < 0 && errno != EEXIST)
      return Status::internal("mkdir " + leaf + ": " + strerror(errno));
    for (const std::string& pid : processes)
      if (Status s = write_in_place(leaf + "/cgroup.procs", pid);
          !s.ok() && path_exists("/proc/" + pid))  // else it ended meanwhile
        return s;
  }
  return delegate_controllers(mount_point);
}

Status create_cgroup(const std::string& path) {
  TRY_ASSIGN(hierarchies, cgroup_hierarchies());
  for (const CgroupHierarchy& h : hierarchies) {
    if (h.v2) TRY(delegate_from_root(h.mount_point));
    for (size_t at = 0; at < path.size();) {
      at = std::min(path.find('/', at + 1), path.size());
      std::string directory = h.mount_point + "/" + path.substr(0, at);
      if (mkdir(directory.c_str(), 0755) < 0 && errno != EEXIST)
        return Status::internal("mkdir " + directory + ": " + strerror(errno));
      if (h.v2 && at < path.size()) TRY(delegate_controllers(directory));
      if (!h.v2) TRY(prepare_cpuset(directory));
    }
  }
  return Status();
}

Status join_cgroup(const std::string& path, pid_t pid) {
  TRY_ASSIGN(hierarchies, cgroup_hierarchies());
  for (const CgroupHierarchy& h : hierarchies) {
    std::string directory = h.mount_point + "/" + path;
    // v2 allows processes only in leaves: the node's init makes "init" its own once it runs.
    if (h.v2 && path_exists(directory + "/init")) directory += "/init";
    TRY(write_in_place(directory + "/cgroup.procs", std::to_string(pid)));
  }
  return Status();
}

std::vector<pid_t> cgroup_processes(const std::string& path) {
  std::set<pid_t> out;
  for (const CgroupHierarchy& h : cgroup_hierarchies().value_or({}))
    collect_processes(h.mount_point + "/" + path, &out);
  return {out.begin(), out.end()};
}

Status remove_cgroup(const std::string& path) {
  TRY_ASSIGN(hierarchies, cgroup_hierarchies());
  using namespace std::chrono_literals;
  // Killed processes leave their cgroup a moment later.
  for (int attempt = 0;; ++attempt) {
    for (pid_t pid : cgroup_processes(path)) kill(pid, SIGKILL);
    std::string left;
    for (const CgroupHierarchy& h : hierarchies)
      if (!remove_directories(h.mount_point + "/" + path)) left = h.mount_point + "/" + path;
    if (left.empty()) break;
    if (attempt == 500) return Status::internal("cannot remove cgroup " + left);
    std::this_thread::sleep_for(10ms);
  }
  for (const CgroupHierarchy& h : hierarchies)
    for (std::string p = parent_of(path); !p.empty(); p = parent_of(p))
      if (rmdir((h.mount_point + "/" + p).c_str()) < 0) break;
  return Status();
}

}  // namespace keles::kind
