#include "etcd/maintenance.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <array>
#include <map>
#include <memory>

#include "etcd/records.h"
#include "etcd/snapshot_file.h"

namespace keles::etcdserver {
namespace {

constexpr size_t kPiece = 32u << 10;

constexpr std::array<uint32_t, 256> castagnoli() {
  std::array<uint32_t, 256> out{};
  for (uint32_t i = 0; i < out.size(); ++i) {
    uint32_t c = i;
    for (int k = 0; k < 8; ++k) c = (c & 1) != 0 ? 0x82F63B78U ^ (c >> 1) : c >> 1;
    out[i] = c;
  }
  return out;
}

struct Descriptor {
  int fd = -1;
  Descriptor() = default;
  Descriptor(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

// Keys of the bucket "key" are those of the disk without its letter.
Status copy(const Disk& disk, const Disk::State& state, std::string_view prefix, BoltFile& file) {
  Status broken;
  TRY(disk.scan_held(state, prefix, prefix, [&](std::string_view key, std::string_view value) {
    broken = file.put(key.substr(prefix.size()), value);
    return broken.ok();
  }));
  return broken;
}

Result<int64_t> write_snapshot(const Disk& disk, const Disk::State& state,
                               const SnapshotFacts& facts, int fd) {
  SnapshotSource source;
  source.revision = facts.revision;
  source.compacted = facts.compacted;
  source.keys = [&](BoltFile& file) { return copy(disk, state, kKeys, file); };
  source.leases = [&](BoltFile& file) { return copy(disk, state, kLeases, file); };
  return write_snapshot_file(source, fd);
}

struct Opened {
  std::shared_ptr<Descriptor> file;
  int64_t size = 0;
};

}  // namespace

void Crc32c::add(std::string_view bytes) {
  static constexpr auto kTable = castagnoli();
  for (char c : bytes)
    state_ = kTable[(state_ ^ static_cast<unsigned char>(c)) & 0xff] ^ (state_ >> 8);
}

Result<uint32_t> hash_keys(const Disk& disk, int64_t compacted, int64_t revision) {
  // Of what the compaction found, only what is there at `revision` still.
  std::map<std::string, std::string> last;
  TRY(disk.scan(kKeys, kKeys, [&](std::string_view key, std::string_view value) {
    auto at = parse_revision_key(key);
    if (!at || at->at.main > revision) return false;
    auto kv = decode(value);
    if (!kv.ok()) return true;
    if (at->deleted) {
      last.erase(std::string(kv->key));
    } else {
      last[std::string(kv->key)] = key;
    }
    return true;
  }));
  Crc32c crc;
  crc.add("key");
  TRY(disk.scan(kKeys, kKeys, [&](std::string_view key, std::string_view value) {
    auto at = parse_revision_key(key);
    if (!at || at->at.main > revision) return false;
    if (at->at.main <= compacted) {
      auto kv = decode(value);
      if (!kv.ok()) return true;
      auto it = last.find(std::string(kv->key));
      if (it == last.end() || it->second != key) return true;
    }
    crc.add(key.substr(kKeys.size()));
    crc.add(value);
    return true;
  }));
  return crc.value();
}

Result<uint32_t> hash_all(const Disk& disk) {
  Crc32c crc;
  TRY(disk.scan("", "", [&](std::string_view key, std::string_view value) {
    crc.add(key);
    crc.add(value);
    return true;
  }));
  return crc.value();
}

Task<Status> send_snapshot(Context ctx, const Disk* disk, SnapshotFacts facts, std::string header,
                           net::GrpcCall* call) {
  Loop* loop = &ctx.loop();
  Disk::State state = disk->hold();
  std::function<Result<Opened>()> write = [disk, state, facts]() -> Result<Opened> {
    Opened out;
    out.file = std::make_shared<Descriptor>();
    out.file->fd = ::open(facts.directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (out.file->fd < 0) {
      return Status::internal("a file for a snapshot in " + facts.directory + ": " +
                              strerror(errno));
    }
    TRY_ASSIGN(size, write_snapshot(*disk, state, facts, out.file->fd));
    out.size = size;
    return out;
  };
  auto opened = co_await run_blocking(loop, write);
  if (!opened.ok()) co_return opened.status();
  auto message = [&](int64_t remaining, std::string_view blob) {
    std::string out = header;
    put_int(out, 2, remaining);
    put_bytes(out, 3, blob);
    put_bytes(out, 4, facts.version);
    return out;
  };
  for (int64_t at = 0; at < opened->size;) {
    std::string piece(kPiece, '\0');
    const ssize_t n = ::pread(opened->file->fd, piece.data(), piece.size(), at);
    if (n <= 0) co_return Status::internal("a snapshot's file cannot be read again");
    piece.resize(static_cast<size_t>(n));
    at += n;
    std::string out = message(opened->size - at, piece);
    TRY_CO(call->send(std::move(out)));
  }
  co_return Status();
}

}  // namespace keles::etcdserver
