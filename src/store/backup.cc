#include "store/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <utility>

#include "base/beneath.h"
#include "base/file.h"
#include "net/pki.h"
#include "store/record_format.h"

namespace keles {
namespace {

constexpr std::string_view kMagic = "keles-backup-1\n";
constexpr size_t kMostChunk = 64u << 20;  // an object is far smaller
constexpr size_t kDigest = 32;

void append_text(std::string& out, std::string_view s) {
  append_varint(out, s.size());
  out += s;
}

bool take_text(std::string_view& in, std::string_view& out) {
  uint64_t size = 0;
  if (!take_varint(in, size) || size > in.size()) return false;
  out = in.substr(0, size);
  in.remove_prefix(size);
  return true;
}

std::string digest_of(std::string_view previous, char tag, std::string_view body) {
  std::string all;
  all.reserve(previous.size() + 1 + body.size());
  all += previous;
  all += tag;
  all += body;
  return net::sha256(all);
}

Status from_errno(const char* what, const std::string& path) {
  return Status::internal(std::string(what) + " " + path + ": " + strerror(errno));
}

}  // namespace

std::string BackupWriter::next() {
  std::string body, out;
  if (!begun_) {
    out += kMagic;
    append_varint(body, static_cast<uint64_t>(contents_.revision));
    append_text(body, contents_.identity);
    begun_ = true;
  } else {
    while (body.size() < kChunk && record_ < contents_.records.size()) {
      Change& r = contents_.records[record_++];
      if (seal_) {
        auto sealed = seal_(*r.key, r.stored);
        if (!sealed.ok()) {
          failure_ = sealed.status();
          done_ = true;
          return {};
        }
        r.stored = std::move(*sealed);
      }
      body += 'r';
      append_text(body, *r.key);
      append_text(body, encode_record_value(r));
      r = Change();  // what is written need not be held
    }
    while (body.size() < kChunk && damaged_ < contents_.damaged.size()) {
      const DamagedRecord& d = contents_.damaged[damaged_++];
      body += 'd';
      append_text(body, d.key);
      append_text(body, d.value);
    }
  }
  done_ = record_ == contents_.records.size() && damaged_ == contents_.damaged.size();
  const char tag = done_ ? '.' : '+';
  digest_ = digest_of(digest_, tag, body);
  out += tag;
  append_varint(out, body.size());
  out += digest_;
  out += body;
  return out;
}

Status BackupReader::take(std::string_view bytes) {
  buffer_.erase(0, at_);
  at_ = 0;
  buffer_ += bytes;
  if (!magic_) {
    if (buffer_.size() < kMagic.size() && kMagic.starts_with(buffer_)) return Status();
    if (!buffer_.starts_with(kMagic))
      return Status::bad_request("this is no backup of a keles store");
    magic_ = true;
    at_ = kMagic.size();
  }
  for (;;) {
    TRY_ASSIGN(more, chunk());
    if (!more) return Status();
  }
}

Result<bool> BackupReader::chunk() {
  std::string_view rest = std::string_view(buffer_).substr(at_);
  if (rest.empty()) return false;
  if (done_) return Status::bad_request("the backup goes on after its end");
  const char tag = rest.front();
  if (tag != '+' && tag != '.') return Status::bad_request("the backup is damaged");
  rest.remove_prefix(1);
  std::string_view head = rest;
  uint64_t size = 0;
  if (!take_varint(head, size)) {
    if (rest.size() < 10) return false;
    return Status::bad_request("the backup is damaged");
  }
  if (size > kMostChunk) return Status::bad_request("the backup is damaged");
  if (head.size() < kDigest + size) return false;
  std::string_view digest = head.substr(0, kDigest), body = head.substr(kDigest, size);
  digest_ = digest_of(digest_, tag, body);
  if (digest_ != digest)
    return Status::bad_request("the backup is damaged: a checksum does not hold");
  TRY(entries(body));
  at_ = buffer_.size() - head.size() + kDigest + size;
  done_ = tag == '.';
  return true;
}

Status BackupReader::entries(std::string_view body) {
  const Status bad = Status::bad_request("the backup's entries cannot be read");
  if (!begun_) {
    uint64_t revision = 0;
    std::string_view identity;
    if (!take_varint(body, revision) || revision > INT64_MAX || !take_text(body, identity))
      return bad;
    contents_.revision = static_cast<int64_t>(revision);
    contents_.identity = identity;
    begun_ = true;
  }
  while (!body.empty()) {
    const char kind = body.front();
    std::string_view key, value;
    body.remove_prefix(1);
    if ((kind != 'r' && kind != 'd') || !take_text(body, key) || !take_text(body, value))
      return bad;
    ++(kind == 'r' ? records_ : damaged_);
    auto record = decode_record_value(value);
    if (kind == 'r' && !record.ok()) return bad;
    if (!keep_) continue;
    if (kind == 'd') {
      contents_.damaged.push_back(
          {std::string(key), std::string(value), "it was damaged when the backup was made"});
    } else {
      record->key = std::make_shared<const std::string>(key);
      contents_.records.push_back(std::move(*record));
    }
  }
  return Status();
}

Status BackupReader::finish() const {
  return done_ ? Status() : Status::bad_request("the backup is cut off");
}

Result<Contents> read_backup_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return from_errno("open", path);
  BackupReader reader(true);
  std::string piece(1u << 20, '\0');
  Status s;
  for (;;) {
    const ssize_t n = ::read(fd, piece.data(), piece.size());
    if (n < 0) s = from_errno("read", path);
    if (n <= 0) break;
    s = reader.take(std::string_view(piece).substr(0, static_cast<size_t>(n)));
    if (!s.ok()) break;
  }
  ::close(fd);
  if (s.ok()) s = reader.finish();
  if (!s.ok()) return Status::bad_request(path + ": " + s.message());
  return std::move(reader).contents();
}

Status write_backup_file(const std::string& path, Contents contents, Sealer seal) {
  TRY_ASSIGN(file, NewFile::create(path));
  BackupWriter writer(std::move(contents), std::move(seal));
  while (!writer.done()) TRY(file.write(writer.next()));
  TRY(writer.failure());
  return file.finish();
}

Result<NewFile> NewFile::create(const std::string& path) {
  if (path_exists(path))
    return Status::bad_request(path + " is there already: choose another name, or move it away");
  NewFile out;
  out.path_ = path;
  out.temporary_ = path + ".partial";
  out.fd_ = ::open(out.temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (out.fd_ < 0) return from_errno("make", out.temporary_);
  return out;
}

NewFile::NewFile(NewFile&& o) noexcept
    : path_(std::move(o.path_)),
      temporary_(std::move(o.temporary_)),
      fd_(std::exchange(o.fd_, -1)) {}

NewFile::~NewFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

Status NewFile::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return from_errno("write", temporary_);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return Status();
}

Status NewFile::finish() {
  if (::fsync(fd_) != 0) return from_errno("sync", temporary_);
  // link() and not rename(): what came to be meanwhile is not replaced.
  if (::link(temporary_.c_str(), path_.c_str()) != 0) return from_errno("name", path_);
  // The destructor takes the temporary name away; the name itself outlives a loss of power.
  const size_t slash = path_.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path_.substr(0, slash + 1);
  Fd directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.open() || ::fsync(directory.get()) != 0) return from_errno("sync", folder);
  return Status();
}

}  // namespace keles
