// Tar archives, as `cp` speaks them with a container's tar: ustar with pax records for what ustar
// has no room for (POSIX.1-2001), and on reading also GNU's long names and numbers. Pieces in,
// pieces out; nothing is held but a header. What is read comes from a stranger: every header is
// checked, and a long name is at most a mebibyte; see fuzz/tar_fuzz.cc.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/beneath.h"
#include "base/status.h"

namespace keles::kubectl {

struct TarEntry {
  std::string name, link;  // link: where a symbolic or hard link leads
  char type = '0';         // '0' file, '1' hard link, '2' symbolic link, '5' directory, ...
  uint64_t size = 0;       // of the content that follows; 0 for what has none
  uint32_t mode = 0644;
  int64_t modified = 0;  // seconds since 1970
  uint32_t uid = 0, gid = 0;
};

// Takes an archive apart while it comes.
class TarReader {
 public:
  // Is told of each entry, its content in pieces, and its end. An error ends the reading.
  class Sink {
   public:
    virtual ~Sink() = default;
    virtual Status begin(const TarEntry& entry) = 0;
    virtual Status content(std::string_view piece) = 0;
    virtual Status end() = 0;
  };
  explicit TarReader(Sink& sink) : sink_(sink) {}
  // What comes after the archive's end is not looked at. "archive/tar: invalid tar header".
  Status feed(std::string_view bytes);
  // The end of the archive was read.
  bool ended() const { return state_ == State::kEnded; }
  // Nothing of an entry is missing.
  bool between_entries() const;

 private:
  enum class State : uint8_t { kHeader, kSpecial, kContent, kPadding, kEnded };
  Status header();
  Status special();
  Status pax(std::string_view records);
  Status start(TarEntry entry);
  Status finish_content();

  Sink& sink_;
  State state_ = State::kHeader;
  std::string block_;        // a header, or a special entry's content, as far as it came
  char special_type_ = 0;    // 'x', 'g', 'L', 'K'
  uint64_t left_ = 0;        // of the content
  size_t padding_ = 0;       // after it
  bool skip_ = false;        // a special entry's padding
  bool zero_block_ = false;  // the first of the two that end an archive
  // For the next entry.
  std::string name_, link_;
  int64_t size_ = -1;
};

// The header blocks of an entry; its content and tar_padding() follow it.
std::string tar_header(const TarEntry& entry);
std::string tar_padding(uint64_t size);
std::string tar_end();

// A file or a tree of this machine as an archive, made while it is read. Links are kept as links;
// of the directories only empty ones have an entry of their own, as kubectl sends them.
class TarSource {
 public:
  TarSource(std::string path, std::string name_in_archive);
  // The next piece; "" after the end. Blocking.
  Result<std::string> next();

 private:
  struct Item {
    std::string path, name;
  };
  Result<std::string> open(const Item& item);
  Result<std::string> read_on();

  std::vector<Item> waiting_;  // the next is last
  Fd file_;
  std::string path_;  // of file_
  uint64_t size_ = 0, left_ = 0;
  bool ended_ = false;
};

}  // namespace keles::kubectl
