#include "kubectl/tar.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>

#include "base/file.h"
#include "kubectl/errors.h"

namespace keles::kubectl {
namespace {

constexpr size_t kBlock = 512;
constexpr size_t kMaxSpecial = 1u << 20;
constexpr size_t kPiece = 64u << 10;
constexpr uint64_t kMaxSize = 1ull << 62;

// Where a header's fields lie.
struct Field {
  size_t at, size;
};
constexpr Field kName{0, 100}, kMode{100, 8}, kUid{108, 8}, kGid{116, 8}, kSize{124, 12},
    kTime{136, 12}, kSum{148, 8}, kType{156, 1}, kLink{157, 100}, kMagic{257, 8}, kMajor{329, 8},
    kMinor{337, 8}, kPrefix{345, 155};

Status bad_header() { return failure("archive/tar: invalid tar header"); }

std::string_view raw(std::string_view block, Field f) { return block.substr(f.at, f.size); }

std::string text_in(std::string_view block, Field f) {
  std::string_view s = raw(block, f);
  return std::string(s.substr(0, s.find('\0')));
}

// Octal with blanks around it, or GNU's binary numbers. None when it is neither, or negative.
std::optional<uint64_t> number(std::string_view s) {
  uint64_t n = 0;
  if (!s.empty() && (static_cast<unsigned char>(s[0]) & 0x80)) {
    if (static_cast<unsigned char>(s[0]) & 0x40) return std::nullopt;  // negative
    for (size_t i = 0; i < s.size(); ++i) {
      if (n >> 55) return std::nullopt;
      auto c = static_cast<unsigned char>(s[i]);
      n = n << 8 | (i == 0 ? c & 0x3fu : c);
    }
    return n;
  }
  while (!s.empty() && (s.front() == ' ' || s.front() == '\0')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\0')) s.remove_suffix(1);
  s = s.substr(0, s.find('\0'));
  for (char c : s) {
    if (c < '0' || c > '7' || n >> 59) return std::nullopt;
    n = n << 3 | static_cast<uint64_t>(c - '0');
  }
  return n;
}

// The sum of a header's bytes, its own field taken as blanks; of signed ones in very old archives.
bool sum_agrees(std::string_view block) {
  std::optional<uint64_t> said = number(raw(block, kSum));
  uint64_t plain = 0;
  int64_t as_signed = 0;
  for (size_t i = 0; i < kBlock; ++i) {
    bool own = i >= kSum.at && i < kSum.at + kSum.size;
    char c = own ? ' ' : block[i];
    plain += static_cast<unsigned char>(c);
    as_signed += static_cast<signed char>(c);
  }
  return said && (*said == plain || static_cast<int64_t>(*said) == as_signed);
}

bool has_content(char type) {
  return type != '1' && type != '2' && type != '3' && type != '4' && type != '5' && type != '6';
}

size_t padding_after(uint64_t size) { return (kBlock - size % kBlock) % kBlock; }

void put_text(std::string& block, Field f, std::string_view s) {
  block.replace(f.at, std::min(f.size, s.size()), s.substr(0, f.size));
}

void put_octal(std::string& block, Field f, uint64_t n) {
  for (size_t i = f.size - 1; i-- > 0; n >>= 3) block[f.at + i] = static_cast<char>('0' + (n & 7));
}

bool fits_octal(Field f, uint64_t n) { return n < 1ull << (3 * (f.size - 1)); }

// "25 ctime=1084839148.1212\n": the length counts itself.
std::string pax_record(std::string_view key, std::string_view value) {
  size_t rest = key.size() + value.size() + 3;
  size_t size = rest + std::to_string(rest).size();
  if (std::to_string(size).size() != std::to_string(rest).size()) {
    size = rest + std::to_string(size).size();
  }
  return std::to_string(size) + " " + std::string(key) + "=" + std::string(value) + "\n";
}

// Splits a long name into ustar's two fields; false when it does not go.
bool split_name(const std::string& name, std::string* prefix, std::string* rest) {
  if (name.size() <= kName.size) {
    prefix->clear();
    *rest = name;
    return true;
  }
  size_t slash = name.rfind('/', kPrefix.size);
  if (slash == name.npos || slash == 0 || name.size() - slash - 1 > kName.size ||
      slash + 1 == name.size()) {
    return false;
  }
  *prefix = name.substr(0, slash);
  *rest = name.substr(slash + 1);
  return true;
}

std::string header_block(const TarEntry& e, std::string_view prefix, std::string_view name) {
  std::string b(kBlock, '\0');
  put_text(b, kName, name);
  put_octal(b, kMode, e.mode & 07777);
  put_octal(b, kUid, fits_octal(kUid, e.uid) ? e.uid : 0);
  put_octal(b, kGid, fits_octal(kGid, e.gid) ? e.gid : 0);
  put_octal(b, kSize, fits_octal(kSize, e.size) ? e.size : 0);
  auto time = static_cast<uint64_t>(std::max<int64_t>(e.modified, 0));
  put_octal(b, kTime, fits_octal(kTime, time) ? time : 0);
  b[kType.at] = e.type;
  put_text(b, kLink, e.link);
  put_text(b, kMagic, std::string_view("ustar\00000", 8));
  put_octal(b, kMajor, 0);
  put_octal(b, kMinor, 0);
  put_text(b, kPrefix, prefix);
  uint64_t sum = 8 * ' ';
  for (char c : b) sum += static_cast<unsigned char>(c);
  put_octal(b, {kSum.at, 7}, sum);
  b[kSum.at + 7] = ' ';
  return b;
}

std::string system_error(std::string_view what, const std::string& path) {
  std::string why = strerror(errno);
  if (!why.empty()) why[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(why[0])));
  return std::string(what) + " " + path + ": " + why;
}

}  // namespace

// --- reading ---

bool TarReader::between_entries() const {
  bool nothing_named = name_.empty() && link_.empty() && size_ < 0;
  return state_ == State::kEnded || (state_ == State::kHeader && block_.empty() && nothing_named);
}

Status TarReader::feed(std::string_view bytes) {
  while (!bytes.empty() && state_ != State::kEnded) {
    size_t n = 0;
    switch (state_) {
      case State::kHeader:
        n = std::min(bytes.size(), kBlock - block_.size());
        block_.append(bytes.substr(0, n));
        if (block_.size() == kBlock) TRY(header());
        break;
      case State::kSpecial:
        n = std::min<uint64_t>(bytes.size(), left_);
        block_.append(bytes.substr(0, n));
        left_ -= n;
        if (left_ == 0) TRY(special());
        break;
      case State::kContent:
        n = std::min<uint64_t>(bytes.size(), left_);
        if (!skip_) TRY(sink_.content(bytes.substr(0, n)));
        left_ -= n;
        if (left_ == 0) TRY(finish_content());
        break;
      case State::kPadding:
        n = std::min(bytes.size(), padding_);
        padding_ -= n;
        if (padding_ == 0) state_ = State::kHeader;
        break;
      case State::kEnded:
        break;
    }
    bytes.remove_prefix(n);
  }
  return Status();
}

Status TarReader::header() {
  const std::string block = std::exchange(block_, "");
  bool zero = block.find_first_not_of('\0') == block.npos;
  if (zero) {
    if (zero_block_) state_ = State::kEnded;
    zero_block_ = true;
    return Status();
  }
  if (zero_block_ || !sum_agrees(block)) return bad_header();
  TarEntry e;
  e.type = block[kType.at] == '\0' ? '0' : block[kType.at];
  std::optional<uint64_t> size = number(raw(block, kSize)), mode = number(raw(block, kMode)),
                          time = number(raw(block, kTime));
  if (!size || !mode || *size > kMaxSize) return bad_header();
  e.size = *size;
  e.mode = static_cast<uint32_t>(*mode);
  e.modified = static_cast<int64_t>(time.value_or(0));
  if (e.type == 'x' || e.type == 'g' || e.type == 'L' || e.type == 'K') {
    if (e.size > kMaxSpecial) return failure("archive/tar: header field too long");
    special_type_ = e.type;
    left_ = e.size;
    padding_ = padding_after(e.size);
    state_ = State::kSpecial;
    return left_ == 0 ? special() : Status();
  }
  e.name = text_in(block, kName);
  e.link = text_in(block, kLink);
  if (raw(block, kMagic).starts_with(std::string_view("ustar\0", 6))) {
    std::string prefix = text_in(block, kPrefix);
    if (!prefix.empty()) e.name = prefix + "/" + e.name;
  }
  return start(std::move(e));
}

Status TarReader::start(TarEntry e) {
  if (!name_.empty()) e.name = std::exchange(name_, "");
  if (!link_.empty()) e.link = std::exchange(link_, "");
  if (size_ >= 0) e.size = static_cast<uint64_t>(std::exchange(size_, -1));
  if (e.type == 'S') return failure("archive/tar: sparse files are not supported");
  if (e.type == '0' && e.name.ends_with('/')) e.type = '5';
  if (!has_content(e.type)) e.size = 0;
  left_ = e.size;
  padding_ = padding_after(e.size);
  skip_ = false;
  TRY(sink_.begin(e));
  state_ = State::kContent;
  return left_ == 0 ? finish_content() : Status();
}

Status TarReader::finish_content() {
  state_ = padding_ > 0 ? State::kPadding : State::kHeader;
  return skip_ ? Status() : sink_.end();
}

Status TarReader::special() {
  const std::string content = std::exchange(block_, "");
  state_ = padding_ > 0 ? State::kPadding : State::kHeader;
  if (special_type_ == 'x') return pax(content);
  std::string text = content.substr(0, content.find('\0'));
  if (special_type_ == 'L') name_ = std::move(text);
  if (special_type_ == 'K') link_ = std::move(text);
  return Status();
}

Status TarReader::pax(std::string_view rest) {
  while (!rest.empty()) {
    size_t blank = rest.find(' '), size = 0;
    if (blank == rest.npos) return bad_header();
    auto [end, error] = std::from_chars(rest.data(), rest.data() + blank, size);
    if (error != std::errc() || end != rest.data() + blank || size <= blank + 1 ||
        size > rest.size() || rest[size - 1] != '\n') {
      return bad_header();
    }
    std::string_view record = rest.substr(blank + 1, size - blank - 2);
    rest.remove_prefix(size);
    size_t equals = record.find('=');
    if (equals == record.npos || equals == 0) return bad_header();
    std::string_view key = record.substr(0, equals), value = record.substr(equals + 1);
    if (key.starts_with("GNU.sparse.")) {
      return failure("archive/tar: sparse files are not supported");
    }
    if (key == "path" || key == "linkpath") {
      if (value.find('\0') != value.npos) return bad_header();
      (key == "path" ? name_ : link_) = value;
    } else if (key == "size") {
      auto [to, wrong] = std::from_chars(value.data(), value.data() + value.size(), size_);
      if (wrong != std::errc() || to != value.data() + value.size() || size_ < 0 ||
          static_cast<uint64_t>(size_) > kMaxSize) {
        return bad_header();
      }
    }
  }
  return Status();
}

// --- writing ---

std::string tar_header(const TarEntry& e) {
  std::string records, prefix, name;
  if (!split_name(e.name, &prefix, &name)) {
    records += pax_record("path", e.name);
    name = e.name.substr(0, kName.size);
  }
  if (e.link.size() > kLink.size) records += pax_record("linkpath", e.link);
  if (!fits_octal(kSize, e.size)) records += pax_record("size", std::to_string(e.size));
  if (!fits_octal(kUid, e.uid)) records += pax_record("uid", std::to_string(e.uid));
  if (!fits_octal(kGid, e.gid)) records += pax_record("gid", std::to_string(e.gid));
  std::string block = header_block(e, prefix, name);
  if (records.empty()) return block;
  TarEntry x;
  x.type = 'x';
  x.size = records.size();
  x.modified = e.modified;
  std::string padding = tar_padding(records.size());
  return header_block(x, "", "PaxHeaders.0/entry") + records + padding + block;
}

std::string tar_padding(uint64_t size) { return std::string(padding_after(size), '\0'); }

std::string tar_end() { return std::string(2 * kBlock, '\0'); }

TarSource::TarSource(std::string path, std::string name) {
  waiting_.push_back({std::move(path), std::move(name)});
}

Result<std::string> TarSource::next() {
  for (;;) {
    if (file_.open()) return read_on();
    if (waiting_.empty()) {
      if (std::exchange(ended_, true)) return std::string();
      return tar_end();
    }
    Item item = std::move(waiting_.back());
    waiting_.pop_back();
    TRY_ASSIGN(piece, open(item));
    if (!piece.empty()) return piece;
  }
}

// The header of a file, or "" of a directory whose entries are next.
Result<std::string> TarSource::open(const Item& item) {
  struct stat st {};
  if (::lstat(item.path.c_str(), &st) < 0) return failure(system_error("lstat", item.path));
  if (S_ISREG(st.st_mode)) {
    file_.reset(::open(item.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!file_.open()) return failure(system_error("open", item.path));
    if (::fstat(file_.get(), &st) < 0) return failure(system_error("stat", item.path));
  }
  TarEntry e;
  e.name = item.name;
  e.mode = st.st_mode & 07777;
  e.modified = st.st_mtime;
  e.uid = st.st_uid;
  e.gid = st.st_gid;
  if (S_ISDIR(st.st_mode)) {
    Result<std::vector<std::string>> names = list_directory(item.path);
    if (!names.ok()) return failure(names.status().message());
    for (size_t i = names->size(); i-- > 0;) {
      const std::string& n = (*names)[i];
      waiting_.push_back({item.path + (item.path.ends_with('/') ? "" : "/") + n,
                          item.name + (item.name.ends_with('/') ? "" : "/") + n});
    }
    e.type = '5';
    return names->empty() ? tar_header(e) : std::string();
  }
  if (S_ISLNK(st.st_mode)) {
    char to[4096];
    ssize_t n = ::readlink(item.path.c_str(), to, sizeof to);
    if (n < 0) return failure(system_error("readlink", item.path));
    e.type = '2';
    e.link.assign(to, static_cast<size_t>(n));
    return tar_header(e);
  }
  if (S_ISSOCK(st.st_mode)) return failure("archive/tar: sockets not supported");
  if (!S_ISREG(st.st_mode)) {
    e.type = S_ISFIFO(st.st_mode) ? '6' : S_ISCHR(st.st_mode) ? '3' : '4';
    return tar_header(e);
  }
  path_ = item.path;
  size_ = left_ = e.size = static_cast<uint64_t>(st.st_size);
  return tar_header(e);
}

Result<std::string> TarSource::read_on() {
  if (left_ == 0) {
    file_.reset();
    if (size_ % kBlock != 0) return tar_padding(size_);
    return next();
  }
  std::string piece(std::min<uint64_t>(left_, kPiece), '\0');
  ssize_t n = 0;
  do {
    n = ::read(file_.get(), piece.data(), piece.size());
  } while (n < 0 && errno == EINTR);
  if (n < 0) return failure(system_error("read", path_));
  if (n == 0) {
    return failure("archive/tar: missed writing " + std::to_string(left_) + " bytes");
  }
  piece.resize(static_cast<size_t>(n));
  left_ -= piece.size();
  return piece;
}

}  // namespace keles::kubectl
