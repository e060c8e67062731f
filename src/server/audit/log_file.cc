#include "server/audit/log_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <optional>
#include <set>
#include <vector>

#include "base/file.h"
#include "base/log.h"
#include "net/gzip.h"

namespace keles::audit {
namespace {

constexpr int64_t kMegabyte = 1024 * 1024;
constexpr std::string_view kCompressed = ".gz";

struct Name {
  std::string directory, stem, extension;  // "/var/log", "audit", ".log"
};

Name split(const std::string& path) {
  Name out;
  const size_t slash = path.rfind('/');
  out.directory = slash == std::string::npos ? "." : path.substr(0, std::max<size_t>(slash, 1));
  std::string file = slash == std::string::npos ? path : path.substr(slash + 1);
  const size_t dot = file.rfind('.');
  out.stem = file.substr(0, dot);
  if (dot != std::string::npos) out.extension = file.substr(dot);
  return out;
}

Status failure(const std::string& what) {
  return Status::internal(what + ": " + std::strerror(errno));
}

std::string stamp(WallTime t) {
  const std::time_t seconds = t.unix_seconds();
  std::tm tm{};
  gmtime_r(&seconds, &tm);
  char text[64];
  std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d-%02d-%02d.%03d", tm.tm_year + 1900,
                tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                static_cast<int>(t.ns / 1'000'000 % 1000));
  return text;
}

// The time that a stamp says; none when it is none.
std::optional<WallTime> stamped(std::string_view text) {
  constexpr size_t kLength = 23;
  if (text.size() != kLength) return std::nullopt;
  std::tm tm{};
  int ms = 0, end = 0;
  if (std::sscanf(std::string(text).c_str(), "%4d-%2d-%2dT%2d-%2d-%2d.%3d%n", &tm.tm_year,
                  &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &ms, &end) != 7 ||
      static_cast<size_t>(end) != kLength) {
    return std::nullopt;
  }
  tm.tm_year -= 1900;
  tm.tm_mon -= 1;
  return WallTime{static_cast<int64_t>(timegm(&tm)) * 1'000'000'000 + int64_t{ms} * 1'000'000};
}

struct OldFile {
  WallTime at;
  std::string file;
  bool compressed = false;
};

// Newest first.
Result<std::vector<OldFile>> old_files(const Name& name) {
  TRY_ASSIGN(all, list_directory(name.directory));
  const std::string prefix = name.stem + "-";
  std::vector<OldFile> out;
  for (const std::string& file : all) {
    std::string_view rest = file;
    if (!rest.starts_with(prefix)) continue;
    rest.remove_prefix(prefix.size());
    const bool compressed = rest.ends_with(name.extension + std::string(kCompressed));
    if (compressed) rest.remove_suffix(kCompressed.size());
    if (!rest.ends_with(name.extension)) continue;
    rest.remove_suffix(name.extension.size());
    if (auto at = stamped(rest)) out.push_back({*at, file, compressed});
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const OldFile& a, const OldFile& b) { return a.at > b.at; });
  return out;
}

// Piece by piece: a log may have any size.
Status compress(const std::string& from) {
  const std::string to = from + std::string(kCompressed);
  const int in = ::open(from.c_str(), O_RDONLY | O_CLOEXEC);
  if (in < 0) return failure("open " + from);
  struct stat info {};
  (void)::fstat(in, &info);
  const int out = ::open(to.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, info.st_mode & 0777);
  if (out < 0) {
    ::close(in);
    return failure("open " + to);
  }
  net::GzipWriter gzip;
  std::string buffer(256 * 1024, '\0'), text;
  bool fine = true;
  for (;;) {
    const ssize_t n = ::read(in, buffer.data(), buffer.size());
    if (n < 0) fine = false;
    text.clear();
    if (n > 0) {
      gzip.append(std::string_view(buffer).substr(0, static_cast<size_t>(n)), text);
    } else if (n == 0) {
      gzip.finish(text);
    }
    fine = fine && ::write(out, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    if (n <= 0 || !fine) break;
  }
  ::close(in);
  fine = ::close(out) == 0 && fine;
  if (!fine) {
    Status s = failure("compress " + from);
    ::unlink(to.c_str());
    return s;
  }
  return ::unlink(from.c_str()) == 0 ? Status() : failure("remove " + from);
}

}  // namespace

Result<std::unique_ptr<LogFile>> LogFile::open(const LogOptions& options) {
  std::unique_ptr<LogFile> out(new LogFile(options));
  if (options.path == "-") {
    out->fd_ = STDOUT_FILENO;
    out->own_ = false;
    return out;
  }
  TRY(make_directories(split(options.path).directory, 0700));
  TRY(out->reopen());
  return out;
}

LogFile::~LogFile() {
  if (own_ && fd_ >= 0) ::close(fd_);
}

Status LogFile::reopen() {
  fd_ = ::open(options_.path.c_str(), O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC, 0600);
  if (fd_ < 0) return failure("--audit-log-path: open " + options_.path);
  struct stat info {};
  if (::fstat(fd_, &info) != 0) return failure("stat " + options_.path);
  size_ = info.st_size;
  return {};
}

Status LogFile::put_aside(WallTime now) {
  const Name name = split(options_.path);
  const std::string to = name.directory + "/" + name.stem + "-" + stamp(now) + name.extension;
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
  if (::rename(options_.path.c_str(), to.c_str()) != 0 && errno != ENOENT) {
    return failure("can't rename log file " + options_.path);
  }
  post_to_pool([options = options_, now] {
    Status s = tidy(options, now);
    if (!s.ok()) log::error("Old audit logs could not be tidied", {{"err", s}});
  });
  return reopen();
}

Status LogFile::write(std::string_view line, WallTime now) {
  std::lock_guard lock(mutex_);
  if (own_ && options_.max_size > 0) {
    const int64_t most = options_.max_size * kMegabyte;
    const auto length = static_cast<int64_t>(line.size());
    if (length > most) {
      return Status::internal("write length " + std::to_string(length) +
                              " exceeds maximum file size " + std::to_string(most));
    }
    if (size_ + length > most) TRY(put_aside(now));
  }
  if (fd_ < 0) TRY(reopen());
  while (!line.empty()) {
    const ssize_t n = ::write(fd_, line.data(), line.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failure("write " + options_.path);
    size_ += n;
    line.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

Status LogFile::tidy(const LogOptions& options, WallTime now) {
  if (options.max_backups == 0 && options.max_age == 0 && !options.compress) return {};
  static std::mutex one_at_a_time;  // two would compress the same file
  std::lock_guard lock(one_at_a_time);
  const Name name = split(options.path);
  TRY_ASSIGN(files, old_files(name));
  Status first;
  auto note = [&first](Status s) {
    if (first.ok()) first = std::move(s);
  };
  std::set<std::string> kept;
  for (const OldFile& f : files) {
    const std::string path = name.directory + "/" + f.file;
    const std::string plain =
        f.compressed ? f.file.substr(0, f.file.size() - kCompressed.size()) : f.file;
    kept.insert(plain);
    const bool too_many =
        options.max_backups > 0 && kept.size() > static_cast<size_t>(options.max_backups);
    const bool too_old = options.max_age > 0 && f.at < now - options.max_age * 24h;
    if (too_many || too_old) {
      if (::unlink(path.c_str()) != 0) note(failure("remove " + path));
    } else if (options.compress && !f.compressed) {
      note(compress(path));
    }
  }
  return first;
}

}  // namespace keles::audit
