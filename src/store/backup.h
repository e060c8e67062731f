// A backup: a store's whole state at one revision in one file, which no store needs to be stopped
// for: it is made from a Contents, and that is what a server's snapshot gives. Bytes are as they
// are stored, what cannot be read included.
//
//   "keles-backup-1\n", then chunks: '+' (more follow) or '.' (the last), varint size, 32 bytes of
//   SHA-256 over (the previous chunk's 32 bytes, the tag, the body), the body.
//   The first body: varint revision, varint size, identity. The others, entry by entry: 'r' (a
//   record) or 'd' (a damaged one), varint size, key, varint size, value (record_format.h).
//
// Each chunk vouches for all before it: a file that is cut, damaged or joined from two is refused.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "store/backend.h"
#include "store/sealing.h"

namespace keles {

class BackupWriter {
 public:
  // `seal`: of a running store's contents, how they are stored (sealer_of()).
  explicit BackupWriter(Contents contents, Sealer seal = {})
      : contents_(std::move(contents)), seal_(std::move(seal)) {}
  bool done() const { return done_; }
  // The next bytes of the file, about kChunk of them.
  std::string next();
  // An error: a value could not be sealed as it is to be stored. The file ends before its end then,
  // and readers refuse it.
  const Status& failure() const { return failure_; }

 private:
  static constexpr size_t kChunk = 128 * 1024;
  Contents contents_;
  Sealer seal_;
  size_t record_ = 0, damaged_ = 0;  // the next ones
  std::string digest_;
  bool begun_ = false, done_ = false;
  Status failure_;
};

// Takes a backup's bytes, in pieces of any size, as they come.
class BackupReader {
 public:
  // `keep` false: only checks and counts.
  explicit BackupReader(bool keep) : keep_(keep) {}
  // An error says what is wrong; the backup is then worth nothing.
  Status take(std::string_view bytes);
  // After the last bytes: OK when the backup is whole.
  Status finish() const;

  // The store's revision and identity are told; entries come after them.
  bool begun() const { return begun_; }
  // Of all chunks so far: 32 bytes.
  const std::string& digest() const { return digest_; }
  size_t records() const { return records_; }
  size_t damaged() const { return damaged_; }
  int64_t revision() const { return contents_.revision; }
  const std::string& identity() const { return contents_.identity; }
  Contents contents() && { return std::move(contents_); }

 private:
  Result<bool> chunk();  // false: more bytes are needed
  Status entries(std::string_view body);
  const bool keep_;
  std::string buffer_, digest_;
  size_t at_ = 0;  // in the buffer
  bool magic_ = false, begun_ = false, done_ = false;
  size_t records_ = 0, damaged_ = 0;
  Contents contents_;
};

// Whole, checked. kNotFound when there is no such file. Blocking.
Result<Contents> read_backup_file(const std::string& path);
// New, 0600, synced; refuses to replace a file. Blocking.
Status write_backup_file(const std::string& path, Contents contents, Sealer seal = {});

// A file that is being written: it has its name only once it is whole.
class NewFile {
 public:
  static Result<NewFile> create(const std::string& path);
  NewFile(NewFile&& o) noexcept;
  NewFile(const NewFile&) = delete;
  ~NewFile();  // takes back what was not finished
  Status write(std::string_view bytes);
  Status finish();

 private:
  NewFile() = default;
  std::string path_, temporary_;
  int fd_ = -1;
};

}  // namespace keles
