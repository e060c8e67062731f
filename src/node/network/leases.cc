#include "node/network/leases.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/beneath.h"
#include "base/file.h"

namespace keles {
namespace {

constexpr size_t kMaxLease = 4096;

Status failed(const char* what, const std::string& path) {
  return Status::internal(std::string("cannot ") + what + " " + path + ": " + std::strerror(errno));
}

// Of a file that is read: the first line, which is the sandbox's id.
Result<std::string> holder_in(const std::string& path) {
  TRY_ASSIGN(text, read_file(path, kMaxLease));
  return text.substr(0, text.find_first_of("\r\n"));
}

// When it was given: host-local writes a lease once.
Result<WallTime> given_at(const std::string& path) {
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0) return failed("look at", path);
  if (!S_ISREG(st.st_mode)) return Status::bad_request(path + " is no file");
  return WallTime{static_cast<int64_t>(st.st_mtim.tv_sec) * 1'000'000'000 + st.st_mtim.tv_nsec};
}

// What host-local locks, for as long as it lives; closed while somebody has it.
Result<Fd> lock(const std::string& directory) {
  const std::string path = directory + "/lock";
  Fd fd(::open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0750));
  if (!fd.open()) return failed("open", path);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return Result<Fd>(std::move(fd));
  if (errno == EWOULDBLOCK) return Result<Fd>(Fd());
  return failed("lock", path);
}

}  // namespace

std::string lease_holder(const std::string& directory, const IpAddress& ip) {
  return holder_in(directory + "/" + ip.text()).value_or("");
}

Result<std::vector<IpAddress>> remove_stale_leases(const std::string& directory,
                                                   const std::set<std::string>& sandboxes,
                                                   WallTime before) {
  std::vector<IpAddress> removed;
  if (!path_exists(directory)) return removed;
  TRY_ASSIGN(held, lock(directory));
  if (!held.open()) return removed;
  TRY_ASSIGN(names, list_directory(directory));
  for (const std::string& name : names) {
    const auto ip = IpAddress::parse(name);
    if (!ip || ip->text() != name) continue;  // the lock, what was given last
    const std::string path = directory + "/" + name;
    const auto given = given_at(path);
    if (!given.ok() || *given >= before) continue;
    const auto holder = holder_in(path);
    if (!holder.ok() || sandboxes.contains(*holder)) continue;
    if (::unlink(path.c_str()) != 0) return failed("remove", path);
    removed.push_back(*ip);
  }
  return removed;
}

}  // namespace keles
