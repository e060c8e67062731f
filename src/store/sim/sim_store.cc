#include "store/sim/sim_store.h"

#include <algorithm>
#include <map>

#include "base/encoding.h"
#include "store/record_format.h"

namespace keles {
namespace {

// A frame: varint body size, 4 bytes of checksum, body. The body: per record varint key size, key,
// varint value size (0: deletion), value; then varint revision.
std::string encode_frame(const std::vector<Change>& batch) {
  std::string body;
  append_varint(body, batch.size());
  for (const Change& r : batch) {
    append_varint(body, r.key->size());
    body += *r.key;
    std::string value = r.stored ? encode_record_value(r) : std::string();
    append_varint(body, value.size());
    body += value;
  }
  append_varint(body, static_cast<uint64_t>(batch.back().revision));
  std::string frame;
  append_varint(frame, body.size());
  uint32_t sum = fnv1a_32(body);
  for (int i = 0; i < 4; ++i) frame += static_cast<char>(sum >> (8 * i));
  return frame + body;
}

bool take(std::string_view& in, size_t n, std::string_view& out) {
  if (n > in.size()) return false;
  out = in.substr(0, n);
  in.remove_prefix(n);
  return true;
}

using State = std::map<std::string, Change>;

bool replay_body(std::string_view body, State& state, int64_t& revision) {
  uint64_t n = 0;
  if (!take_varint(body, n)) return false;
  for (; n > 0; --n) {
    uint64_t size = 0;
    std::string_view key, value;
    if (!take_varint(body, size) || !take(body, size, key)) return false;
    if (!take_varint(body, size) || !take(body, size, value)) return false;
    if (value.empty()) {
      state.erase(std::string(key));
      continue;
    }
    auto record = decode_record_value(value);
    if (!record.ok()) return false;
    record->key = std::make_shared<const std::string>(key);
    state[std::string(key)] = std::move(*record);
  }
  uint64_t last = 0;
  if (!take_varint(body, last)) return false;
  revision = static_cast<int64_t>(last);
  return true;
}

// The length of the good part of the file, whose state is replayed.
size_t replay(std::string_view file, State& state, int64_t& revision) {
  std::string_view rest = file;
  for (;;) {
    size_t good = file.size() - rest.size();
    uint64_t size = 0;
    std::string_view sum, body;
    if (rest.empty() || !take_varint(rest, size) || !take(rest, 4, sum) || !take(rest, size, body))
      return good;
    uint32_t expected = 0;
    for (int i = 3; i >= 0; --i) expected = expected << 8 | static_cast<unsigned char>(sum[i]);
    if (fnv1a_32(body) != expected || !replay_body(body, state, revision)) return good;
  }
}

}  // namespace

void SimDisk::crash() {
  Random& random = loop_.random();
  size_t pending = file_.size() - synced_;
  if (pending == 0) return;
  size_t keep = random.below(pending + 1);
  file_.resize(synced_ + keep);
  if (keep > 0 && random.chance(0.3)) {  // the last sector was half written
    size_t at = synced_ + random.below(keep);
    for (; at < file_.size(); ++at) file_[at] = static_cast<char>(random.next());
  }
}

class SimLog final : public Log {
 public:
  explicit SimLog(SimDisk& disk) : disk_(disk) {}
  ~SimLog() override { (void)close(); }

  void append(const std::vector<Change>& batch, std::function<void(Status)> done) override {
    Random& random = disk_.loop_.random();
    const SimDiskFaults& f = disk_.faults;
    std::string frame = encode_frame(batch);
    if (f.full) frame.resize(random.below(frame.size()));  // as much as there was room for
    disk_.file_ += frame;
    int64_t revision = batch.back().revision;
    Duration took(random.between(f.sync_min.count(), f.sync_max.count()));
    if (f.slow_sync > 0 && random.chance(f.slow_sync))
      took += Duration(random.between(0, f.slow_max.count()));
    bool full = f.full;
    bool failed = full || (f.fail_sync > 0 && random.chance(f.fail_sync));
    bool lost = f.lost_reply > 0 && random.chance(f.lost_reply);
    bool lies = f.lie > 0 && random.chance(f.lie);
    size_t upto = disk_.file_.size();
    auto fn = [this, upto, revision, full, failed, lost, lies, done = std::move(done)] {
      timer_ = 0;
      if (!failed && !lies) disk_.synced_ = std::max(disk_.synced_, upto);
      if (!failed && !lies && !lost) disk_.acknowledged_ = std::max(disk_.acknowledged_, revision);
      if (full) return done(Status::internal("write: no space left on device"));
      done(failed || lost ? Status::internal("fsync: input/output error") : Status());
    };
    timer_ = disk_.loop_.schedule(disk_.loop_.now() + took, std::move(fn));
  }
  // Opening takes a while, and fails as a sync does.
  void recover(std::function<void(int64_t)> done) override {
    timer_ = disk_.loop_.schedule(disk_.loop_.now() + 500ms, [this, done = std::move(done)] {
      timer_ = 0;
      const double fails = disk_.faults.fail_sync;
      if (disk_.faults.full || (fails > 0 && disk_.loop_.random().chance(fails)))
        return recover(done);
      auto contents = recover(disk_);
      if (!contents.ok()) return recover(done);
      done(contents->revision);
    });
  }
  // A sync (or an opening) under way is abandoned, as a crash would.
  Status close() override {
    if (timer_ != 0) disk_.loop_.cancel(timer_);
    timer_ = 0;
    return Status();
  }
  // Cuts the torn tail off, so that new frames follow good ones.
  static Result<Contents> recover(SimDisk& disk) {
    State state;
    Contents contents;
    std::string_view file = disk.file_;
    Random& random = disk.loop_.random();
    if (disk.faults.short_read > 0 && random.chance(disk.faults.short_read))
      file = file.substr(0, random.below(file.size() + 1));
    size_t good = replay(file, state, contents.revision);
    if (contents.revision < disk.acknowledged_) {
      return Status::unavailable("the log ends at revision " + std::to_string(contents.revision) +
                                 ", before the acknowledged " + std::to_string(disk.acknowledged_));
    }
    disk.file_.resize(good);
    disk.synced_ = good;  // opening syncs the file
    disk.acknowledged_ = contents.revision;
    for (auto& [key, record] : state) {
      if (disk.damaged_.contains(key)) {
        contents.damaged.push_back({key, *record.stored, "checksum mismatch"});
      } else {
        contents.records.push_back(std::move(record));
      }
    }
    std::erase_if(disk.damaged_, [&](const std::string& key) { return !state.contains(key); });
    return contents;
  }

 private:
  SimDisk& disk_;
  TimerId timer_ = 0;
};

Result<std::unique_ptr<Backend>> open_sim_backend(SimDisk& disk) {
  TRY_ASSIGN(contents, SimLog::recover(disk));
  return std::unique_ptr<Backend>(std::make_unique<LocalBackend>(
      LocalBackend::Limits(), std::make_unique<SimLog>(disk), std::move(contents), Status()));
}

Result<std::unique_ptr<Store>> open_sim_store(SimDisk& disk, ReplicaOptions options) {
  TRY_ASSIGN(backend, open_sim_backend(disk));
  return std::unique_ptr<Store>(std::make_unique<Replica>(std::move(options), std::move(backend)));
}

}  // namespace keles
