#include "etcd/bolt_file.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>

#include "base/encoding.h"

namespace keles::etcdserver {
namespace {

constexpr size_t kPage = 4096, kHead = 16, kElement = 16;
constexpr size_t kBuffer = 1u << 20;
constexpr uint16_t kBranch = 1, kLeaf = 2, kMeta = 4, kFreelist = 16;
constexpr uint32_t kMagic = 0xED0CDAED, kVersion = 2, kIsBucket = 1;

template <class T>
void put(std::string& out, T v) {  // little-endian, as the machines are that write such files
  for (size_t i = 0; i < sizeof v; ++i) out.push_back(static_cast<char>(v >> (8 * i)));
}

// The beginning of a page of `bytes`, its own beginning included.
std::string head(uint64_t id, uint16_t flags, size_t count, size_t bytes) {
  std::string out;
  put<uint64_t>(out, id);
  put<uint16_t>(out, flags);
  put<uint16_t>(out, static_cast<uint16_t>(count));
  put<uint32_t>(out, static_cast<uint32_t>((std::max(bytes, kPage) + kPage - 1) / kPage - 1));
  return out;
}

std::string bucket(uint64_t root) {
  std::string out;
  put<uint64_t>(out, root);
  put<uint64_t>(out, 0);
  return out;
}

Status pwrite_all(int fd, std::string_view data, int64_t at) {
  while (!data.empty()) {
    const ssize_t n = ::pwrite(fd, data.data(), data.size(), at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return Status::internal(std::string("write a snapshot: ") + strerror(errno));
    data.remove_prefix(static_cast<size_t>(n));
    at += n;
  }
  return Status();
}

}  // namespace

void BoltFile::begin_bucket(std::string_view name) { name_ = name; }

Status BoltFile::put(std::string_view key, std::string_view value) {
  const size_t bytes = kElement + key.size() + value.size();
  if (!leaf_.empty() && kHead + leaf_bytes_ + bytes > kPage) TRY(write_leaf());
  Element e;
  e.key = key;
  e.value = value;
  leaf_.push_back(std::move(e));
  leaf_bytes_ += bytes;
  return Status();
}

Status BoltFile::write_leaf() {
  std::string page = head(next_page_, kLeaf, leaf_.size(), kHead + leaf_bytes_);
  size_t data = leaf_.size() * kElement;  // from this element to its key
  for (const Element& e : leaf_) {
    etcdserver::put<uint32_t>(page, e.flags);
    etcdserver::put<uint32_t>(page, static_cast<uint32_t>(data));
    etcdserver::put<uint32_t>(page, static_cast<uint32_t>(e.key.size()));
    etcdserver::put<uint32_t>(page, static_cast<uint32_t>(e.value.size()));
    data += e.key.size() + e.value.size() - kElement;
  }
  for (const Element& e : leaf_) page.append(e.key).append(e.value);
  Child child;
  child.first = leaf_.empty() ? "" : leaf_.front().key;
  TRY_ASSIGN(at, write_pages(std::move(page)));
  child.page = at;
  children_.push_back(std::move(child));
  leaf_.clear();
  leaf_bytes_ = 0;
  return Status();
}

// Level by level; the root's page.
Result<uint64_t> BoltFile::write_branches() {
  while (children_.size() > 1) {
    std::vector<Child> above;
    for (size_t i = 0; i < children_.size();) {
      size_t end = i, bytes = kHead;
      while (end < children_.size() &&
             (end - i < 2 || bytes + kElement + children_[end].first.size() <= kPage)) {
        bytes += kElement + children_[end].first.size();
        ++end;
      }
      if (end + 1 == children_.size() && end - i > 2) {  // no page for a single one
        --end;
        bytes -= kElement + children_[end].first.size();
      }
      std::string page = head(next_page_, kBranch, end - i, bytes);
      size_t data = (end - i) * kElement;
      for (size_t k = i; k < end; ++k) {
        etcdserver::put<uint32_t>(page, static_cast<uint32_t>(data));
        etcdserver::put<uint32_t>(page, static_cast<uint32_t>(children_[k].first.size()));
        etcdserver::put<uint64_t>(page, children_[k].page);
        data += children_[k].first.size() - kElement;
      }
      for (size_t k = i; k < end; ++k) page += children_[k].first;
      Child child;
      child.first = children_[i].first;
      TRY_ASSIGN(at, write_pages(std::move(page)));
      child.page = at;
      above.push_back(std::move(child));
      i = end;
    }
    children_ = std::move(above);
  }
  const uint64_t root = children_.front().page;
  children_.clear();
  return root;
}

Status BoltFile::end_bucket() {
  if (!leaf_.empty() || children_.empty()) TRY(write_leaf());
  TRY_ASSIGN(root, write_branches());
  Element e;
  e.key = std::move(name_);
  e.value = bucket(root);
  e.flags = kIsBucket;
  buckets_.push_back(std::move(e));
  return Status();
}

Result<uint64_t> BoltFile::write_pages(std::string page) {
  page.resize((page.size() + kPage - 1) / kPage * kPage);
  const uint64_t at = next_page_;
  next_page_ += page.size() / kPage;
  out_ += page;
  TRY(flush(kBuffer));
  return at;
}

Status BoltFile::flush(size_t above) {
  if (out_.size() <= above) return Status();
  TRY(pwrite_all(fd_, out_, static_cast<int64_t>(2 * kPage) + written_));
  written_ += static_cast<int64_t>(out_.size());
  out_.clear();
  return Status();
}

Result<int64_t> BoltFile::finish() {
  leaf_ = std::move(buckets_);
  for (const Element& e : leaf_) leaf_bytes_ += kElement + e.key.size() + e.value.size();
  TRY(write_leaf());
  TRY_ASSIGN(root, write_branches());
  TRY_ASSIGN(freelist, write_pages(head(next_page_, kFreelist, 0, kPage)));
  TRY(flush(0));
  for (uint64_t i = 0; i < 2; ++i) {
    std::string page = head(i, kMeta, 0, kPage), meta;
    etcdserver::put<uint32_t>(meta, kMagic);
    etcdserver::put<uint32_t>(meta, kVersion);
    etcdserver::put<uint32_t>(meta, kPage);
    etcdserver::put<uint32_t>(meta, 0);
    meta += bucket(root);
    etcdserver::put<uint64_t>(meta, freelist);
    etcdserver::put<uint64_t>(meta, next_page_);
    etcdserver::put<uint64_t>(meta, i);  // the transaction that wrote it
    etcdserver::put<uint64_t>(meta, fnv1a_64(meta));
    page += meta;
    page.resize(kPage);
    TRY(pwrite_all(fd_, page, static_cast<int64_t>(i * kPage)));
  }
  return static_cast<int64_t>(next_page_ * kPage);
}

}  // namespace keles::etcdserver
