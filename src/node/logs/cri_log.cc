#include "node/logs/cri_log.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/beneath.h"

namespace keles::node {
namespace {

constexpr size_t kChunk = 256 * 1024;
constexpr size_t kMaxLine = 1024 * 1024;

// Splits <logs>/<pod>/<container>/<n>.log after `names` names from its end.
std::pair<std::string, std::string> split(const std::string& path, int names) {
  size_t at = path.size();
  for (; names > 0 && at != std::string::npos && at > 0; --names) at = path.rfind('/', at - 1);
  if (at == std::string::npos) return {".", path};
  return {at == 0 ? "/" : path.substr(0, at), path.substr(at + 1)};
}

// The directory of a container's logs.
Result<Fd> open_above(const std::string& path) {
  auto [logs, rest] = split(path, 3);
  TRY_ASSIGN(dir, open_directory(logs));
  size_t slash = rest.rfind('/');
  return open_directory_beneath(dir, slash == std::string::npos ? "." : rest.substr(0, slash));
}

class File {
 public:
  explicit File(const std::string& path) {
    auto dir = open_above(path);
    if (!dir.ok()) {
      errno = dir.status().is(Reason::kNotFound) ? ENOENT : ELOOP;
      return;
    }
    auto fd = open_beneath(*dir, path.substr(path.rfind('/') + 1), O_RDONLY | O_NOCTTY);
    struct stat st {};
    if (!fd.ok() || fstat(fd->get(), &st) != 0 || !S_ISREG(st.st_mode)) {
      errno = fd.status().is(Reason::kNotFound) ? ENOENT : ELOOP;
      return;
    }
    fd_ = std::move(*fd);
    inode_ = st.st_ino;
  }
  bool is_open() const { return fd_.open(); }
  int fd() const { return fd_.get(); }
  ino_t inode() const { return inode_; }

 private:
  Fd fd_;
  ino_t inode_ = 0;
};

ino_t inode_of(const std::string& path) { return File(path).inode(); }

Status file_error(const std::string& path) {
  if (errno == ENOENT) return Status(Reason::kNotFound, "log file " + path + " does not exist");
  return Status::internal("log file " + path + ": " + std::strerror(errno));
}

}  // namespace

std::optional<LogEntry> parse_log_entry(std::string_view line) {
  LogEntry e;
  size_t a = line.find(' ');
  if (a == std::string_view::npos || a < 20 || a > 40) return std::nullopt;
  e.timestamp = line.substr(0, a);
  line.remove_prefix(a + 1);
  if (line.starts_with("stderr ")) {
    e.is_stderr = true;
  } else if (!line.starts_with("stdout ")) {
    return std::nullopt;
  }
  line.remove_prefix(7);
  // Tags are separated by colons; the first says whether the line goes on.
  size_t b = line.find(' ');
  std::string_view tags = line.substr(0, b);
  std::string_view first = tags.substr(0, tags.find(':'));
  if (first != "P" && first != "F") return std::nullopt;
  e.partial = first == "P";
  e.text = b == std::string_view::npos ? std::string_view() : line.substr(b + 1);
  return e;
}

bool LogFilter::line(std::string_view line, std::string& out) {
  if (left_ == 0) return false;
  auto e = parse_log_entry(line);
  if (!e) return true;
  if (options_.stream == "Stdout" && e->is_stderr) return true;
  if (options_.stream == "Stderr" && !e->is_stderr) return true;
  // Both are UTC with nine decimals when containerd wrote them; compared as text up to the zone.
  if (!options_.since.empty() && e->timestamp < options_.since) return true;
  bool& in_line = in_line_[e->is_stderr];
  size_t before = out.size();
  if (options_.timestamps && !in_line) {
    out.append(e->timestamp);
    out.push_back(' ');
  }
  out.append(e->text);
  if (!e->partial) out.push_back('\n');
  in_line = e->partial;
  if (left_ < 0) return true;
  int64_t added = static_cast<int64_t>(out.size() - before);
  if (added >= left_) {
    out.resize(before + static_cast<size_t>(left_));
    left_ = 0;
    return false;
  }
  left_ -= added;
  return true;
}

Result<int64_t> tail_offset(const std::string& path, int64_t lines) {
  File f(path);
  if (!f.is_open()) return file_error(path);
  struct stat st;
  if (fstat(f.fd(), &st) != 0) return file_error(path);
  if (lines <= 0) return static_cast<int64_t>(st.st_size);
  std::string chunk(65536, '\0');
  int64_t at = st.st_size, seen = 0;
  bool last = true;  // the newline that ends the file begins no line
  while (at > 0) {
    int64_t n = std::min<int64_t>(at, static_cast<int64_t>(chunk.size()));
    at -= n;
    if (pread(f.fd(), chunk.data(), static_cast<size_t>(n), at) != n) return file_error(path);
    for (int64_t i = n - 1; i >= 0; --i) {
      if (chunk[static_cast<size_t>(i)] != '\n') {
        last = false;
        continue;
      }
      if (last) {
        last = false;
        continue;
      }
      if (++seen == lines) return at + i + 1;
    }
  }
  return 0;
}

namespace {

// A log as it is read, piece by piece. Blocking, on the pool; one call at a time.
class LogReader {
 public:
  LogReader(std::string path, const LogOptions& options)
      : path_(std::move(path)), tail_(options.tail_lines), filter_(options) {}

  Status open() {
    if (tail_) {
      TRY_ASSIGN(at, tail_offset(path_, *tail_));
      offset_ = at;
    }
    file_ = std::make_unique<File>(path_);
    return file_->is_open() ? Status() : file_error(path_);
  }

  struct Piece {
    std::string text;      // what is to be shown
    bool nothing = false;  // there was nothing to read
    bool end = false;      // no more is wanted
  };
  Result<Piece> next() {
    Piece out;
    ssize_t n = pread(file_->fd(), buffer_.data(), buffer_.size(), offset_);
    if (n == 0 && inode_of(path_) != file_->inode()) {  // rotated: the rest is in the new file
      auto fresh = std::make_unique<File>(path_);
      if (fresh->is_open()) {
        file_ = std::move(fresh);
        offset_ = 0;
        return out;
      }
    }
    if (n < 0) return file_error(path_);
    out.nothing = n == 0;
    offset_ += n;
    pending_.append(buffer_.data(), static_cast<size_t>(n));
    size_t start = 0;
    for (size_t nl; !out.end && (nl = pending_.find('\n', start)) != std::string::npos;
         start = nl + 1)
      out.end = !filter_.line(std::string_view(pending_).substr(start, nl - start), out.text);
    pending_.erase(0, start);
    if (pending_.size() > kMaxLine) pending_.clear();
    return Result<Piece>(std::move(out));
  }

 private:
  std::string path_;
  std::optional<int64_t> tail_;
  LogFilter filter_;
  std::unique_ptr<File> file_;
  int64_t offset_ = 0;
  std::string pending_, buffer_ = std::string(kChunk, '\0');
};

}  // namespace

Task<Status> read_log(Context ctx, std::string path, LogOptions options,
                      std::function<Task<Status>(std::string)> sink,
                      std::function<bool()> running) {
  LogReader reader(std::move(path), options);
  std::function<Status()> open = [&] { return reader.open(); };
  TRY_CO(run_blocking(&ctx.loop(), std::move(open)));
  Duration pause = 10ms;
  while (true) {
    // Asked before reading: what was written before the container ended is read once more.
    const bool more_to_come = options.follow && running();
    std::function<Result<LogReader::Piece>()> work = [&] { return reader.next(); };
    auto piece = co_await run_blocking(&ctx.loop(), std::move(work));
    if (!piece.ok()) co_return piece.status();
    const bool nothing = piece->nothing, end = piece->end;
    if (!piece->text.empty()) {
      Status s = co_await sink(std::move(piece->text));
      if (!s.ok()) co_return s;
    }
    if (end) co_return Status();
    if (!nothing) {
      pause = 10ms;
      continue;
    }
    if (!more_to_come) co_return Status();
    Status s = co_await ctx.sleep(pause);
    if (!s.ok()) co_return s;
    pause = std::min<Duration>(pause * 2, 200ms);
  }
}

std::string last_log_lines(const std::string& path, int64_t lines, size_t max_bytes) {
  auto offset = tail_offset(path, lines);
  File f(path);
  struct stat st {};
  if (!offset.ok() || !f.is_open() || fstat(f.fd(), &st) != 0) return "";
  int64_t from = std::max(*offset, static_cast<int64_t>(st.st_size) - static_cast<int64_t>(kChunk));
  std::string text(static_cast<size_t>(std::max<int64_t>(st.st_size - from, 0)), '\0');
  ssize_t n = pread(f.fd(), text.data(), text.size(), from);
  text.resize(n > 0 ? static_cast<size_t>(n) : 0);
  std::string_view rest = text;  // a part of a line at its start is no entry, and is passed over
  LogFilter filter({});
  std::string out;
  while (!rest.empty()) {
    size_t nl = rest.find('\n');
    filter.line(rest.substr(0, nl), out);
    rest.remove_prefix(nl == std::string_view::npos ? rest.size() : nl + 1);
  }
  return out.size() > max_bytes ? out.substr(out.size() - max_bytes) : out;
}

Result<bool> rotate_log(const std::string& path, int64_t max_bytes, int keep,
                        const std::string& time) {
  auto dir = open_above(path);
  if (dir.status().is(Reason::kNotFound)) return false;
  TRY(dir.status());
  std::string base = path.substr(path.rfind('/') + 1);
  struct stat st {};
  if (fstatat(dir->get(), base.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return false;
  if (!S_ISREG(st.st_mode) || st.st_size <= max_bytes) return false;
  TRY_ASSIGN(names, list_directory(*dir));
  std::vector<std::string> old;  // sorted: the time in the name grows
  for (const std::string& n : names)
    if (n.starts_with(base + ".")) old.push_back(n);
  // The live file and the one made now count.
  for (size_t i = 0; i + static_cast<size_t>(std::max(keep - 2, 0)) < old.size(); ++i)
    TRY(remove_file_beneath(*dir, old[i]));
  std::string aside = base + "." + time;
  if (renameat(dir->get(), base.c_str(), dir->get(), aside.c_str()) != 0) return file_error(path);
  return true;
}

Status remove_log(const std::string& path) {
  auto dir = open_above(path);
  if (dir.status().is(Reason::kNotFound)) return {};
  TRY(dir.status());
  return remove_file_beneath(*dir, path.substr(path.rfind('/') + 1));
}

Status make_log_directory(const std::string& logs, const std::string& below) {
  TRY_ASSIGN(dir, open_directory(logs));
  return as_status(make_directories_beneath(dir, below));
}

}  // namespace keles::node
