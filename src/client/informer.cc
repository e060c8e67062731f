#include "client/informer.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <map>
#include <optional>

#include "base/buggify.h"
#include "base/log.h"
#include "base/sync.h"
#include "client/objects_by_name.h"

namespace keles {

namespace {

constexpr Duration kMinBackoff = 800ms;
constexpr Duration kMaxBackoff = 30s;
// A watch that brings nothing, not even a bookmark, for this long is taken for dead (a half-closed
// connection looks just so) and opened anew.
constexpr Duration kSilence = 150s;
constexpr Duration kSilenceCheck = 75s;

int64_t parse_revision(std::string_view s) {
  int64_t v = 0;
  std::from_chars(s.data(), s.data() + s.size(), v);
  return v;
}

// Instead of the one of the same name, if there is one.
void put(ObjectSet& set, const ObjectPtr& now) {
  auto at = set.lower_bound(now);
  if (at == set.end() || ByName::of(*at) != ByName::of(now)) {
    set.insert(at, now);
  } else {
    ObjectsByName::replace(at, now);
  }
}

class InformerImpl final : public InformerBase {
 public:
  InformerImpl(Client& client, const KindDesc* kind, std::string ns, std::string label_selector,
               std::string field_selector)
      : client_(client),
        held_(kind),
        kind_(kind),
        ns_(std::move(ns)),
        labels_(std::move(label_selector)),
        fields_(std::move(field_selector)) {}

  const KindDesc& kind() const override { return *kind_; }
  void add_handler(Handler h) override;
  void add_index(std::string name, Indexer fn) override;
  bool synced() const override { return synced_.is_set(); }
  TimePoint hearing_since() const override { return hearing_since_; }
  Task<Status> wait_synced(Context ctx) override { return synced_.wait(ctx); }
  ObjectPtr get(std::string_view ns, std::string_view name) const override;
  std::vector<ObjectPtr> list(std::string_view ns) const override;
  std::vector<ObjectPtr> by_index(std::string_view index, std::string_view value) const override;
  std::vector<std::pair<std::string, size_t>> index_values(std::string_view index) const override;
  size_t size() const override { return objects_.size(); }

  Task<void> run(Context ctx);

 private:
  struct Index {
    Indexer fn;
    std::map<std::string, ObjectSet, std::less<>> values;
  };
  struct Watchdog;

  Task<Status> list_all(Context ctx);
  Task<Status> watch_once(Context ctx, size_t* events);
  void replace_all(std::vector<ObjectPtr> items, int64_t revision);
  void apply(const WatchEvent& e);
  void upsert(const ObjectPtr& now);
  void erase(ObjectsByName::Place at, const ObjectPtr& last);
  void reindex(const ObjectPtr& before, const ObjectPtr& now);

  Client& client_;
  const KindRef held_;
  const KindDesc* kind_;
  std::string ns_, labels_, fields_;
  ObjectsByName objects_;
  std::map<std::string, Index, std::less<>> indexes_;
  std::vector<std::shared_ptr<const Handler>> handlers_;
  Event synced_;
  int64_t revision_ = 0;  // everything up to here has been seen
  TimePoint hearing_since_ = TimePoint::max();
  bool need_list_ = true;
  // Ask for the newest state: at first, since who takes over must know all that those before him
  // wrote, in whatever order the kinds are read; and when the last list's revision had expired.
  bool list_exactly_ = true;
};

void InformerImpl::add_handler(Handler h) {
  auto shared = std::make_shared<const Handler>(std::move(h));
  handlers_.push_back(shared);
  if (!shared->added) return;
  for (const ObjectPtr& o : list({})) shared->added(o);
}

void InformerImpl::add_index(std::string name, Indexer fn) {
  auto [it, fresh] = indexes_.try_emplace(std::move(name));
  if (!fresh) return;  // shared informers: the first registration stands
  it->second.fn = std::move(fn);
  for (const ObjectPtr& o : objects_) {
    for (std::string& v : it->second.fn(o)) it->second.values[std::move(v)].insert(o);
  }
}

ObjectPtr InformerImpl::get(std::string_view ns, std::string_view name) const {
  auto it = objects_.find(ObjectName(ns, name));
  return it == objects_.end() ? nullptr : *it;
}

std::vector<ObjectPtr> InformerImpl::list(std::string_view ns) const {
  if (ns.empty() || !kind_->namespaced) return {objects_.begin(), objects_.end()};
  std::vector<ObjectPtr> out;
  for (auto it = objects_.lower_bound(ObjectName(ns, "")); it != objects_.end(); ++it) {
    if ((*it)->namespace_() != ns) break;
    out.push_back(*it);
  }
  return out;
}

std::vector<ObjectPtr> InformerImpl::by_index(std::string_view index,
                                              std::string_view value) const {
  auto it = indexes_.find(index);
  if (it == indexes_.end()) return {};
  auto at = it->second.values.find(value);
  if (at == it->second.values.end()) return {};
  return {at->second.begin(), at->second.end()};
}

std::vector<std::pair<std::string, size_t>> InformerImpl::index_values(
    std::string_view index) const {
  std::vector<std::pair<std::string, size_t>> out;
  auto it = indexes_.find(index);
  if (it == indexes_.end()) return out;
  for (const auto& [value, objects] : it->second.values) out.emplace_back(value, objects.size());
  return out;
}

void InformerImpl::reindex(const ObjectPtr& before, const ObjectPtr& now) {
  for (auto& [name, index] : indexes_) {
    std::vector<std::string> was, is;
    if (before) was = index.fn(before);
    if (now) is = index.fn(now);
    for (const std::string& v : was) {
      if (std::find(is.begin(), is.end(), v) != is.end()) continue;
      auto at = index.values.find(v);
      if (at == index.values.end()) continue;
      if (auto one = at->second.find(before); one != at->second.end()) at->second.erase(one);
      if (at->second.empty()) index.values.erase(at);
    }
    for (std::string& v : is) put(index.values[std::move(v)], now);
  }
}

void InformerImpl::upsert(const ObjectPtr& now) {
  auto at = objects_.find(ObjectName(*now));
  const bool there = at != objects_.end();
  if (there && (*at)->revision() >= now->revision()) return;
  ObjectPtr before = there ? *at : nullptr;
  if (there && before->uid() != now->uid()) {
    erase(at, before);  // deleted and made anew while nobody looked
    before = nullptr;
    objects_.insert(now);
  } else if (there) {
    ObjectsByName::replace(at, now);
  } else {
    objects_.insert(now);
  }
  reindex(before, now);
  for (size_t i = 0; i < handlers_.size(); ++i) {  // by index: a handler may add handlers
    auto h = handlers_[i];
    if (before && h->updated) h->updated(before, now);
    if (!before && h->added) h->added(now);
  }
}

void InformerImpl::erase(ObjectsByName::Place at, const ObjectPtr& last) {
  ObjectPtr before = *at;
  objects_.erase(at);
  reindex(before, nullptr);
  for (size_t i = 0; i < handlers_.size(); ++i) {
    auto h = handlers_[i];
    if (h->deleted) h->deleted(last);
  }
}

void InformerImpl::replace_all(std::vector<ObjectPtr> items, int64_t revision) {
  ObjectSet fresh;
  for (ObjectPtr& o : items) fresh.insert(std::move(o));
  std::vector<ObjectPtr> gone;
  for (const ObjectPtr& o : objects_) {
    if (!fresh.contains(o)) gone.push_back(o);
  }
  for (const ObjectPtr& o : gone) erase(objects_.find(ObjectName(*o)), o);
  for (const ObjectPtr& o : fresh) upsert(o);
  revision_ = std::max(revision_, revision);
}

void InformerImpl::apply(const WatchEvent& e) {
  int64_t revision = e.revision ? e.revision : e.object ? e.object->revision() : 0;
  if (revision != 0 && revision <= revision_) return;  // seen: a watch delivered twice
  switch (e.type) {
    case WatchEvent::Type::kAdded:
    case WatchEvent::Type::kModified:
      upsert(e.object);
      break;
    case WatchEvent::Type::kDeleted: {
      auto it = objects_.find(ObjectName(*e.object));
      if (it != objects_.end()) erase(it, e.object);
      break;
    }
    case WatchEvent::Type::kBookmark:
      break;
  }
  revision_ = std::max(revision_, revision);
}

Task<Status> InformerImpl::list_all(Context ctx) {
  ListOptions o;
  o.label_selector = labels_;
  o.field_selector = fields_;
  if (!list_exactly_) o.resource_version = std::to_string(revision_);
  Context limited = ctx.with_timeout(60s);
  auto r = co_await client_.list(limited, kind_, ns_, std::move(o));
  if (!r.ok()) {
    if (r.status().is(Reason::kExpired) || r.status().is(Reason::kGone)) list_exactly_ = true;
    co_return r.status();
  }
  int64_t revision = parse_revision(r->resource_version);
  if (revision < revision_) {
    co_return Status::unavailable("the server is behind: it lists " + std::string(kind_->plural) +
                                  " at " + r->resource_version + ", " + std::to_string(revision_) +
                                  " has been seen");
  }
  list_exactly_ = false;
  replace_all(std::move(r->items), revision);
  need_list_ = false;
  const bool again = synced_.is_set();
  if (!again) synced_.set();
  for (size_t i = 0; again && i < handlers_.size(); ++i) {
    auto h = handlers_[i];
    if (h->relisted) h->relisted();
  }
  co_return Status();
}

// Ends a watch's context when nothing has come for kSilence.
struct InformerImpl::Watchdog {
  Context watched;
  TimePoint last;
  static void arm(const std::shared_ptr<Watchdog>& self) {
    std::weak_ptr<Watchdog> weak = self;
    Loop& loop = self->watched.loop();
    self->timer = loop.schedule(loop.now() + kSilenceCheck, [weak, &loop] {
      auto w = weak.lock();
      if (!w) return;
      w->timer = 0;
      if (loop.now() - w->last >= kSilence) {
        w->watched.cancel(Status::unavailable("the watch has fallen silent"));
      } else {
        arm(w);
      }
    });
  }
  ~Watchdog() {
    if (timer) watched.loop().cancel(timer);
  }
  explicit Watchdog(Context c) : watched(c), last(c.loop().now()) {}
  TimerId timer = 0;
};

Task<Status> InformerImpl::watch_once(Context ctx, size_t* events) {
  WatchOptions o;
  o.label_selector = labels_;
  o.field_selector = fields_;
  o.resource_version = std::to_string(revision_);
  o.timeout_seconds = client_.loop().random().between(300, 600);
  Context watched = ctx.child();
  auto watchdog = std::make_shared<Watchdog>(watched);
  Watchdog::arm(watchdog);
  auto w = co_await client_.watch(watched, kind_, ns_, std::move(o));
  if (!w.ok()) co_return w.status();
  std::unique_ptr<Watch> watch = std::move(*w);
  hearing_since_ = std::min(hearing_since_, ctx.loop().now());
  for (;;) {
    auto e = co_await watch->next(watched);
    if (!e.ok()) co_return e.status();
    watchdog->last = ctx.loop().now();
    ++*events;
    apply(*e);
    if (buggify(ctx.loop(), "informer.watch_ends", 0.01)) {
      co_return Status::unavailable("the watch has ended");
    }
  }
}

Task<void> InformerImpl::run(Context ctx) {
  Duration backoff = kMinBackoff;
  while (!ctx.done()) {
    Status s;
    TimePoint began = ctx.loop().now();
    if (buggify(ctx.loop(), "informer.relist")) need_list_ = true;
    if (need_list_) {
      s = co_await list_all(ctx);
      if (s.ok()) {
        backoff = kMinBackoff;
        continue;
      }
    } else {
      size_t events = 0;
      s = co_await watch_once(ctx, &events);
      if (ctx.done()) co_return;
      if (s.is(Reason::kExpired) || s.is(Reason::kGone)) {
        need_list_ = true;
        list_exactly_ = true;
        if (events > 0) continue;
      } else {
        if (events > 0) backoff = kMinBackoff;
        // Ended in good order after a while: go on at once. One that ends as soon as it is opened
        // must not become a busy loop.
        bool ended_well = s.is(Reason::kCancelled) || s.is(Reason::kTimeout);
        if (ended_well && ctx.loop().now() - began >= 1s) continue;
      }
    }
    if (ctx.done()) co_return;
    hearing_since_ = TimePoint::max();
    if (log::v(2)) {
      log::info("List or watch failed, will retry", {{"kind", kind_->plural}, {"err", s}});
    }
    auto jitter = static_cast<int64_t>(ctx.loop().random().unit() *
                                       static_cast<double>(backoff.count()) * 0.5);
    (void)co_await ctx.sleep(backoff + Duration(jitter));
    backoff = std::min(backoff * 2, kMaxBackoff);
  }
}

}  // namespace

struct InformerFactory::Impl {
  explicit Impl(Loop& loop) : group(loop) {}
  std::map<std::string, std::shared_ptr<InformerImpl>> informers;  // by their selection
  std::vector<std::shared_ptr<InformerImpl>> in_order;
  std::optional<Context> ctx;
  TaskGroup group;

  static Task<void> run(Context ctx, std::shared_ptr<InformerImpl> informer) {
    co_await informer->run(ctx);
  }
};

InformerFactory::InformerFactory(Client& client)
    : client_(client), impl_(std::make_unique<Impl>(client.loop())) {}

InformerFactory::~InformerFactory() = default;

std::shared_ptr<InformerBase> InformerFactory::informer(const KindDesc* kind, std::string ns,
                                                        std::string label_selector,
                                                        std::string field_selector) {
  std::string id;
  for (std::string_view part :
       {kind->api_version(), kind->plural, std::string_view(ns), std::string_view(label_selector),
        std::string_view(field_selector)}) {
    id.append(part).append("\n");
  }
  auto it = impl_->informers.find(id);
  if (it != impl_->informers.end()) return it->second;
  auto made = std::make_shared<InformerImpl>(client_, kind, std::move(ns),
                                             std::move(label_selector), std::move(field_selector));
  impl_->informers.emplace(std::move(id), made);
  impl_->in_order.push_back(made);
  if (impl_->ctx) impl_->group.spawn(Impl::run(*impl_->ctx, made));
  return made;
}

std::shared_ptr<InformerBase> InformerFactory::informer_until(Context ctx, const KindDesc* kind) {
  auto made = std::make_shared<InformerImpl>(client_, kind, "", "", "");
  impl_->group.spawn(Impl::run(std::move(ctx), made));
  return made;
}

void InformerFactory::start(Context ctx) {
  if (impl_->ctx) return;
  impl_->ctx = ctx;
  for (const auto& i : impl_->in_order) impl_->group.spawn(Impl::run(ctx, i));
}

Task<Status> InformerFactory::wait_synced(Context ctx) {
  for (size_t i = 0; i < impl_->in_order.size(); ++i) {
    auto informer = impl_->in_order[i];
    TRY_CO(informer->wait_synced(ctx));
  }
  co_return Status();
}

Task<void> InformerFactory::join() { co_await impl_->group.join(); }

}  // namespace keles
