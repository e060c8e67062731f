#include "etcd/snapshot_file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <vector>

#include "etcd/records.h"

namespace keles::etcdserver {
namespace {

// Upstream's API servers agree by it on who compacts; here it holds the newest revision, which may
// be that of a deletion.
constexpr std::string_view kCompactionKey = "compact_rev_key";

Status failed(const char* what, const std::string& path) {
  return Status::internal(std::string(what) + " " + path + ": " + strerror(errno));
}

// The file's whole size with it.
Result<int64_t> append_digest(int fd, int64_t size) {
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> digest(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  EVP_DigestInit_ex(digest.get(), EVP_sha256(), nullptr);
  std::string piece(1u << 20, '\0');
  for (int64_t at = 0; at < size;) {
    const ssize_t n = ::pread(fd, piece.data(), piece.size(), at);
    if (n <= 0) return Status::internal("a snapshot's file cannot be read again");
    EVP_DigestUpdate(digest.get(), piece.data(), static_cast<size_t>(n));
    at += n;
  }
  std::string sum(32, '\0');
  EVP_DigestFinal_ex(digest.get(), reinterpret_cast<unsigned char*>(sum.data()), nullptr);
  if (::pwrite(fd, sum.data(), sum.size(), size) != static_cast<ssize_t>(sum.size()))
    return Status::internal(std::string("write a snapshot: ") + strerror(errno));
  return size + static_cast<int64_t>(sum.size());
}

std::string stored(const Change& c) {
  KeyValue kv;
  kv.key = *c.key;
  kv.value = *c.stored;
  kv.create_revision = c.create_revision;
  kv.mod_revision = c.revision;
  kv.version = c.version;
  return encode(kv);
}

Status put_records(const Contents& contents, BoltFile& file) {
  std::vector<const Change*> in_order;
  for (const Change& c : contents.records) in_order.push_back(&c);
  std::stable_sort(in_order.begin(), in_order.end(),
                   [](const Change* a, const Change* b) { return a->revision < b->revision; });
  Revision at;
  for (const Change* c : in_order) {
    at = Revision{c->revision, c->revision == at.main ? at.sub + 1 : 0};
    TRY(file.put(revision_key(at, false).substr(kKeys.size()), stored(*c)));
  }
  if (at.main >= contents.revision) return Status();
  Change newest;
  newest.key = std::make_shared<const std::string>(kCompactionKey);
  newest.stored = std::make_shared<const std::string>(std::to_string(contents.revision));
  newest.revision = newest.create_revision = contents.revision;
  newest.version = 1;
  at = Revision{contents.revision, 0};
  return file.put(revision_key(at, false).substr(kKeys.size()), stored(newest));
}

}  // namespace

Result<int64_t> write_snapshot_file(const SnapshotSource& source, int fd) {
  BoltFile file(fd);
  std::map<std::string, std::string> meta;  // etcd's bucket of this name
  put_big_endian(meta["consistent_index"], source.revision);
  put_big_endian(meta["term"], 1);
  if (source.compacted > 0) {
    const std::string at = revision_key(Revision{source.compacted, 0}, false).substr(kKeys.size());
    meta["finishedCompactRev"] = at;
    meta["scheduledCompactRev"] = at;
  }
  for (const char* name : {"alarm", "auth", "authRoles", "authUsers", "cluster", "key", "lease",
                           "members", "members_removed", "meta"}) {
    const std::string_view bucket = name;
    file.begin_bucket(bucket);
    if (bucket == "key") TRY(source.keys(file));
    if (bucket == "lease" && source.leases) TRY(source.leases(file));
    if (bucket == "meta") {
      for (const auto& [key, value] : meta) TRY(file.put(key, value));
    }
    TRY(file.end_bucket());
  }
  TRY_ASSIGN(size, file.finish());
  return append_digest(fd, size);
}

Status export_snapshot(const std::string& path, const Contents& contents) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return failed("cannot make", path);
  SnapshotSource source;
  source.revision = contents.revision;
  // Nothing of the past is in it: who asks for it is told so.
  source.compacted = contents.revision;
  source.keys = [&contents](BoltFile& file) { return put_records(contents, file); };
  Status s = write_snapshot_file(source, fd).status();
  if (s.ok() && ::fsync(fd) != 0) s = failed("cannot write", path);
  ::close(fd);
  if (!s.ok()) ::unlink(path.c_str());
  return s;
}

}  // namespace keles::etcdserver
