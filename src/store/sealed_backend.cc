#include "store/sealed_backend.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/loop.h"

namespace keles {

namespace {

// "k8s:enc:kms:v2:NAME:" of a sealed value; "" of what has no such beginning.
std::string_view provider_of(std::string_view stored) {
  size_t at = 0;
  for (int i = 0; i < 5; ++i) {
    at = stored.find(':', at);
    if (at == stored.npos) return {};
    ++at;
  }
  return stored.substr(0, at);
}

}  // namespace

// A write on its way, with what the replica gave.
struct SealedBackend::Own : Origin {
  std::shared_ptr<Origin> inner;
  Bytes plain;
  std::string mark;
};

// Whether it still lives, for who tries again on another thread.
struct SealedBackend::Life {
  std::mutex mutex;
  SealedBackend* self = nullptr;
};

SealedBackend::SealedBackend(std::unique_ptr<Backend> inner,
                             std::shared_ptr<Transformer> transformer)
    : transformer_(std::move(transformer)),
      life_(std::make_shared<Life>()),
      inner_(std::move(inner)) {
  life_->self = this;
}

SealedBackend::~SealedBackend() {
  transformer_->on_change(nullptr);
  {
    std::lock_guard lock(life_->mutex);
    life_->self = nullptr;
  }
  inner_.reset();  // tells nobody any more
}

void SealedBackend::watch(Follower& follower) {
  follower_ = &follower;
  // First: a service that comes back while the store is read is not to be missed.
  transformer_->on_change([life = life_] {
    post_to_pool([life] {
      std::lock_guard lock(life->mutex);
      if (life->self) life->self->try_again();
    });
  });
  inner_->watch(*this);
}

Task<Result<Committed>> SealedBackend::commit(Context ctx, Transaction t) {
  if (t.stored) {
    auto sealed = transformer_->seal(t.key, t.stored);
    if (!sealed.ok()) co_return sealed.status();
    auto own = std::make_shared<Own>();
    own->inner = std::move(t.origin);
    own->plain = std::move(t.stored);
    own->mark = std::move(sealed->mark);
    t.stored = std::move(sealed->bytes);
    t.origin = std::move(own);
  }
  const std::string key = t.key;
  auto done = co_await inner_->commit(std::move(ctx), std::move(t));
  if (done.ok() && done->previous) {
    auto opened = transformer_->open(key, done->previous);
    if (opened.ok()) done->previous = std::move(opened->plain);
  }
  co_return done;
}

void SealedBackend::set_mark(const std::string& key, std::string mark) {
  std::lock_guard lock(marks_mutex_);
  if (mark.empty()) {
    marks_.erase(key);
    return;
  }
  auto& known = known_marks_[mark];
  if (!known) known = std::make_shared<const std::string>(std::move(mark));
  marks_[key] = known;
}

void SealedBackend::note(const Change& c, const Result<Transformer::Opened>& opened) {
  if (opened.ok()) {
    closed_.erase(*c.key);
    set_mark(*c.key, opened->mark);
    return;
  }
  if (!closed_.contains(*c.key)) {
    log::error("Stored object cannot be decrypted", {{"key", *c.key}, {"err", opened.status()}});
  }
  closed_[*c.key] = c;
}

// A start waits for it: a large state is shared out among the processors, after its first value:
// what keeps that from opening (a service that does not answer) is waited for once.
void SealedBackend::open_all(std::vector<Change>& changes) {
  constexpr size_t kWorthAThread = 2048;
  std::vector<std::optional<Result<Transformer::Opened>>> out(changes.size());
  std::vector<size_t> sealed;
  for (size_t i = 0; i < changes.size(); ++i) {
    const Change& c = changes[i];
    if (c.stored && !c.origin && c.stored->starts_with(kSealedPrefix)) sealed.push_back(i);
  }
  auto open = [&](size_t from, size_t to) {
    std::map<std::string, Status, std::less<>> gone;  // by provider
    for (size_t n = from; n < to; ++n) {
      const Change& c = changes[sealed[n]];
      auto& result = out[sealed[n]];
      const std::string_view by = provider_of(*c.stored);
      if (auto at = gone.find(by); at != gone.end()) {
        result.emplace(at->second);
        continue;
      }
      result.emplace(transformer_->open(*c.key, c.stored));
      if (result->status().is(Reason::kUnavailable)) gone.emplace(by, result->status());
    }
  };
  const size_t most = std::max(1u, std::thread::hardware_concurrency());
  const size_t parts = std::clamp<size_t>(sealed.size() / kWorthAThread, 1, most);
  std::vector<std::thread> others;
  for (size_t p = 1; p < parts; ++p)
    others.emplace_back(open, sealed.size() * p / parts, sealed.size() * (p + 1) / parts);
  open(0, sealed.size() / parts);
  for (std::thread& t : others) t.join();
  for (size_t i : sealed) {
    note(changes[i], *out[i]);
    if (out[i]->ok()) changes[i].stored = std::move((*out[i])->plain);
  }
}

void SealedBackend::restart(Contents contents) {
  std::lock_guard lock(stream_);
  closed_.clear();
  {
    std::lock_guard marks(marks_mutex_);
    marks_.clear();
  }
  open_all(contents.records);
  revision_ = contents.revision;
  follower_->restart(std::move(contents));
}

void SealedBackend::apply(std::vector<Change> changes, int64_t revision) {
  std::lock_guard lock(stream_);
  open_all(changes);
  for (Change& c : changes) {
    if (!c.stored) {
      closed_.erase(*c.key);
      set_mark(*c.key, "");
      continue;
    }
    auto own = std::dynamic_pointer_cast<Own>(c.origin);
    if (!own) continue;
    closed_.erase(*c.key);
    set_mark(*c.key, own->mark);
    c.stored = own->plain;
    c.origin = own->inner;
  }
  revision_ = revision;
  follower_->apply(std::move(changes), revision);
}

void SealedBackend::try_again() {
  std::lock_guard lock(stream_);
  if (closed_.empty()) return;
  std::vector<Change> opened;
  for (const auto& [key, c] : closed_) opened.push_back(c);
  open_all(opened);
  std::erase_if(opened, [](const Change& c) { return c.stored->starts_with(kSealedPrefix); });
  if (opened.empty()) return;
  log::info("Stored objects can be decrypted now", {{"objects", opened.size()}});
  std::sort(opened.begin(), opened.end(),
            [](const Change& a, const Change& b) { return a.revision < b.revision; });
  follower_->apply(std::move(opened), revision_);
}

bool SealedBackend::stale(std::string_view key) const {
  const std::string now = transformer_->mark(key);
  std::lock_guard lock(marks_mutex_);
  auto at = marks_.find(std::string(key));
  return (at == marks_.end() ? std::string_view() : std::string_view(*at->second)) != now;
}

Sealer SealedBackend::sealer() const {
  return [t = transformer_](const std::string& key, const Bytes& stored) -> Result<Bytes> {
    if (stored->starts_with(kSealedPrefix)) return stored;  // what did not open
    TRY_ASSIGN(sealed, t->seal(key, stored));
    return std::move(sealed.bytes);
  };
}

}  // namespace keles
