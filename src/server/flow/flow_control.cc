#include "server/flow/flow_control.h"

#include <algorithm>
#include <cmath>

#include "api/flowcontrol_v1.h"
#include "base/log.h"
#include "machinery/codec_json.h"
#include "machinery/time.h"
#include "server/flow/allocation.h"
#include "server/flow/bootstrap.h"
#include "server/flow/gauges.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"
#include "store/follow.h"

namespace keles::flow {
namespace {

using api::flowcontrol_v1::FlowSchema;
using api::flowcontrol_v1::PriorityLevelConfiguration;

constexpr Duration kShareEvery = 10s;
constexpr Duration kKeepEvery = 1min;
constexpr double kSmoothing = 0.977;  // half of what was is forgotten in five minutes
// How often a minute a schema's status is written at most: several servers that disagree.
constexpr size_t kMaxWrites = 6;

const KindDesc& schemas() { return kind_of<FlowSchema>(); }
const KindDesc& levels_kind() { return kind_of<PriorityLevelConfiguration>(); }

template <class F>
void each(const StoreSnapshot& snapshot, const KindDesc& kind, F fn) {
  const std::string prefix = registry::kind_prefix(kind);
  snapshot.scan(prefix, prefix, [&](std::string_view, const ObjectPtr& o) {
    DocumentPtr tree = o->tree();
    fn(tree->root);
    return true;
  });
}

bool is_read(std::string_view verb) {
  return verb == "get" || verb == "list" || verb == "watch" || verb == "proxy";
}

}  // namespace

// One for each loop that asks: its count of holders is that loop's alone.
struct FlowControl::Held {
  std::shared_ptr<const Index> index;
};

struct FlowControl::WantedStatus {
  std::string schema, level;
  bool dangling = false;
};

const Index::Entry& Index::match(const Digest& d) const {
  for (const Entry& e : entries) {
    if (e.schema.matches(d)) return e;
  }
  // Everybody is authenticated or not, and catch-all takes both.
  return *catch_all;
}

FlowControl::FlowControl(registry::Registry* registry, Options options)
    : registry_(registry), options_(options), gauges_(std::make_unique<ReadsAndWrites>()) {}
FlowControl::~FlowControl() = default;

// --- configuration ---

void FlowControl::refresh(Loop& loop) {
  std::lock_guard lock(mutex_);
  auto snapshot = registry_->store().snapshot();
  digest_levels(loop, *snapshot);
  publish(digest_schemas(*snapshot), loop.now());
}

namespace {

LevelSpec mandatory_level(std::string_view name) {
  for (const BootstrapObject& o : bootstrap_objects()) {
    if (o.kind != &levels_kind() || registry::meta(o.body.root, "name") != name) continue;
    if (auto spec = LevelSpec::read(o.body.root)) return *spec;
  }
  return {};
}

Schema mandatory_schema(std::string_view name) {
  for (const BootstrapObject& o : bootstrap_objects()) {
    if (o.kind == &schemas() && registry::meta(o.body.root, "name") == name) {
      return Schema::read(o.body.root);
    }
  }
  return {};
}

}  // namespace

// A level that is gone drains first. The two that everything rests on are there in any case.
void FlowControl::digest_levels(Loop& loop, const StoreSnapshot& snapshot) {
  std::map<std::string, LevelSpec> wanted;
  present_.clear();
  each(snapshot, levels_kind(), [&](const Value& o) {
    auto spec = LevelSpec::read(o);
    if (!spec) return;
    present_.insert(spec->name);
    wanted.emplace(spec->name, *spec);
  });
  for (const char* name : {"exempt", "catch-all"}) {
    auto at = levels_.find(name);
    if (wanted.contains(name)) continue;
    wanted.emplace(name, at != levels_.end() ? at->second.spec : mandatory_level(name));
  }
  for (auto at = levels_.begin(); at != levels_.end();) {
    const bool gone = !wanted.contains(at->first);
    at->second.figures.quiescing = gone;
    at = gone && at->second.set->idle() ? levels_.erase(at) : std::next(at);
  }
  for (const auto& [name, spec] : wanted) {
    Level& level = levels_[name];
    level.spec = spec;
    level.figures.name = name;
    if (!level.refusals) level.refusals = std::make_shared<Refusals>();
  }
  double shares = 0;
  for (const auto& [name, level] : levels_) shares += static_cast<double>(level.spec.shares);
  nominal_sum_ = 0;
  for (auto& [name, level] : levels_) {
    const LevelSpec& spec = level.spec;
    LevelFigures& f = level.figures;
    const double part = shares > 0 ? static_cast<double>(spec.shares) / shares : 0;
    f.nominal = static_cast<int>(std::ceil(options_.seats * part));
    auto percent = [&](int64_t p) {
      return static_cast<int>(std::lround(f.nominal * static_cast<double>(p) / 100));
    };
    f.least = f.nominal - percent(spec.lendable_percent);
    f.most = f.nominal + (spec.borrowing_limit_percent ? percent(*spec.borrowing_limit_percent)
                                                       : options_.seats);
    nominal_sum_ += f.nominal;
    if (!level.set) level.set = std::make_shared<QueueSet>(loop.now());
  }
  share_out(loop);
}

// Those whose level is there, in the order in which they are asked; of all, what their status is to
// say.
std::vector<Schema> FlowControl::digest_schemas(const StoreSnapshot& snapshot) {
  std::vector<Schema> out;
  wanted_.clear();
  each(snapshot, schemas(), [&](const Value& o) {
    Schema s = Schema::read(o);
    const bool dangling = !present_.contains(s.level);
    WantedStatus status{s.name, s.level, dangling};
    wanted_.push_back(std::move(status));
    if (!dangling) out.push_back(std::move(s));
  });
  std::sort(out.begin(), out.end(), comes_before);
  auto has = [&](std::string_view name) {
    return std::any_of(out.begin(), out.end(), [&](const Schema& s) { return s.name == name; });
  };
  if (!has("exempt")) out.insert(out.begin(), mandatory_schema("exempt"));
  if (!has("catch-all")) out.push_back(mandatory_schema("catch-all"));
  return out;
}

void FlowControl::publish(std::vector<Schema> schemas, TimePoint now) {
  auto index = std::make_shared<Index>();
  int places = 0;
  for (const auto& [name, level] : levels_) {
    Index::Level l;
    l.name = name;
    l.uid = level.spec.uid;
    l.exempt = level.spec.exempt;
    l.queuing = level.spec.queuing;
    l.widest = level.spec.widest_request(level.figures.nominal);
    // Who is not limited by seats is not by turns, either.
    l.weight = std::max(1, level.spec.exempt ? options_.seats : level.figures.nominal);
    l.set = level.set;
    l.refusals = level.refusals;
    if (l.queuing.queues > 0) places += l.queuing.queues * l.queuing.length;
    index->levels.emplace(name, std::move(l));
  }
  for (Schema& s : schemas) {
    Index::Entry e;
    e.level = &index->levels.find(s.level)->second;
    e.stats = e.level->set->stats(s.name);
    e.schema = std::move(s);
    index->entries.push_back(std::move(e));
  }
  for (const Index::Entry& e : index->entries) {
    if (e.schema.name == "catch-all") index->catch_all = &e;
  }
  {
    std::lock_guard lock(gauges_mutex_);
    gauges_->set_wholes(places, nominal_sum_, now);
  }
  auto held = std::make_shared<Held>();
  held->index = std::move(index);
  held_.store(std::move(held));
  // Never twice the same in a process: loops remember by it.
  static std::atomic<uint64_t> last{0};
  generation_.store(last.fetch_add(1) + 1);
}

// --- sharing out ---

// Each level's limit follows what was asked of it: at least what it may not lend, or what it used
// of its own; beyond that all alike, by their smoothed demand.
void FlowControl::share_out(Loop& loop) {
  const TimePoint now = loop.now();
  std::vector<Share> shares;
  int left = nominal_sum_, least_sum = 0, needed_sum = 0;
  auto needed = [](const LevelFigures& f) {
    return std::max(f.least, std::min(f.nominal, static_cast<int>(f.high_watermark)));
  };
  for (auto& [name, level] : levels_) {
    LevelFigures& f = level.figures;
    const Integrator::Results seen = level.set->take_demand(now);
    f.high_watermark = std::round(seen.max);
    if (seen.seconds > 0) {
      f.average = seen.average;
      f.deviation = seen.deviation;
      const double envelope = seen.average + seen.deviation;
      f.smoothed = std::max(envelope, kSmoothing * f.smoothed + (1 - kSmoothing) * envelope);
    }
    if (level.spec.exempt) {
      f.current = std::max(f.least, static_cast<int>(f.high_watermark));
      f.target = f.current;
      left -= f.current;
      continue;
    }
    const auto lower = static_cast<double>(needed(f));
    f.target = std::max(lower, f.smoothed);
    shares.push_back({f.target, lower, static_cast<double>(f.most)});
    least_sum += f.least;
    needed_sum += needed(f);
  }
  fair_fraction_ = 0;
  Result<Allocation> fair = Status::unavailable("not needed");
  if (left > least_sum && left > needed_sum) {
    fair = allocate(nominal_sum_, shares);
    if (fair.ok()) {
      fair_fraction_ = fair->fraction;
    } else {
      log::error("The seats of priority levels stay as they are", {{"err", fair.status()}});
    }
  }
  size_t i = 0;
  for (auto& [name, level] : levels_) {
    LevelFigures& f = level.figures;
    if (!level.spec.exempt) {
      if (left <= least_sum) {
        f.current = f.least;
      } else if (left <= needed_sum) {
        const double part = static_cast<double>(left - least_sum) / (needed_sum - least_sum);
        f.current = f.least + static_cast<int>(std::lround((needed(f) - f.least) * part));
      } else if (fair.ok()) {
        f.current = static_cast<int>(std::lround(fair->seats[i]));
      }
      ++i;
    }
    const int whole = f.current > 0
                          ? f.current
                          : std::max(1, static_cast<int>(std::lround(options_.seats / 10.0)));
    level.set->configure(loop, level.spec.queuing, f.current, whole);
  }
}

void FlowControl::adjust(Loop& loop) {
  bool draining = false;
  {
    std::lock_guard lock(mutex_);
    share_out(loop);
    for (const auto& [name, level] : levels_) draining |= level.figures.quiescing;
  }
  if (draining) refresh(loop);  // which lets go of those that are empty
}

std::vector<FlowControl::LevelFigures> FlowControl::levels() const {
  std::lock_guard lock(mutex_);
  std::vector<LevelFigures> out;
  for (const auto& [name, level] : levels_) out.push_back(level.figures);
  return out;
}

// --- a request's way ---

// Remembered by each loop, so that they do not all count on one number.
std::shared_ptr<const FlowControl::Held> FlowControl::current() const {
  struct Mine {
    const FlowControl* of = nullptr;
    uint64_t generation = 0;
    std::shared_ptr<const Held> held;
  };
  thread_local Mine mine;
  const uint64_t generation = generation_.load();
  if (mine.of != this || mine.generation != generation) {
    auto held = std::make_shared<Held>(*held_.load());
    mine = {this, generation, std::move(held)};
  }
  return mine.held;
}

Work FlowControl::work_of(const Index::Entry& entry, const Question& q, TimePoint now,
                          int* watchers) {
  Work out;
  const std::string_view verb = q.digest.verb;
  if (!q.digest.is_resource) return out;
  const uint64_t widest = entry.level->widest;
  if (verb == "list" || verb == "watch") {
    if (q.list_unclear) {
      out.seats = widest == 0 ? kWidestList : std::min(widest, kWidestList);
    } else if (q.kind) {
      out.seats = list_seats(q.list, sizes_.of(registry_->store(), *q.kind, now), widest);
    }
    return out;
  }
  const bool writes = verb == "create" || verb == "update" || verb == "patch" || verb == "delete";
  // Of a token nobody is told.
  const bool token = q.digest.resource == "serviceaccounts" && q.digest.subresource == "token";
  if (!writes || token) return out;
  *watchers = watches_.watchers(q.digest);
  return write_work(*watchers, widest);
}

void FlowControl::sort(Loop& loop, Passage* p, const Question& q) {
  if (generation_.load() == 0) refresh(loop);  // asked before it was started
  auto held = current();
  p->entry_ = &held->index->match(q.digest);
  p->holds_ = std::move(held);
  p->digest_ = q.digest;
}

FlowControl::Outcome FlowControl::enter(Loop& loop, Passage* p, const Question& q, TimePoint now) {
  sort(loop, p, q);
  const Index::Entry& entry = *p->entry_;
  p->entered_ = true;
  p->node_ = q.node;
  p->mutating_ = !is_read(q.digest.verb);
  QueueSet::Entry e;
  e.about = &p->digest_;
  e.schema = entry.schema.name;
  e.stats = entry.stats;
  if (entry.level->queuing.queues > 1) {
    e.distinguisher = entry.schema.distinguisher(q.digest);
    e.hash = flow_hash(e.schema, e.distinguisher);
  }
  e.work = work_of(entry, q, now, &e.watchers);
  const Outcome out = entry.level->set->enter(loop, &p->ticket_, e, now);
  if (out == Outcome::kRuns) {
    note(p->mutating_, 0, 1, now);
    if (q.digest.verb == "watch") p->watching_ = watches_.watch(p->digest_, p->node_);
  } else if (out == Outcome::kWaits) {
    note(p->mutating_, 1, 0, now);
  }
  return out;
}

Task<bool> FlowControl::wait(Context limit, Passage* p) {
  const bool runs = co_await p->entry_->level->set->wait(limit, &p->ticket_);
  note(p->mutating_, -1, runs ? 1 : 0, limit.loop().now());
  if (runs && p->digest_.verb == "watch") p->watching_ = watches_.watch(p->digest_, p->node_);
  co_return runs;
}

void FlowControl::end(Loop& loop, Passage* p) {
  if (!p->ticket_.runs()) return;
  const TimePoint now = loop.now();
  p->entry_->level->set->leave(loop, &p->ticket_, now);
  note(p->mutating_, 0, -1, now);
}

int64_t FlowControl::refused(Loop& loop, const Passage& p) {
  return p.entry_->level->refusals->note(loop.wall_now().unix_seconds());
}

void FlowControl::note(bool mutating, int waiting, int executing, TimePoint now) {
  std::lock_guard lock(gauges_mutex_);
  gauges_->note(mutating, waiting, executing, now);
}

// --- keeping it current ---

Task<void> FlowControl::keep_objects(Context ctx) {
  while (true) {
    Status s = co_await ctx.sleep(kKeepEvery);
    if (!s.ok()) break;
    Status kept = co_await ensure_bootstrap(ctx, registry_);
    if (!kept.ok() && !ctx.done()) {
      log::warn("Priority and fairness: its objects are not as they should be", {{"err", kept}});
    }
  }
}

Task<void> FlowControl::run(Context ctx) {
  TaskGroup group(ctx.loop());
  for (const KindDesc* kind : {&schemas(), &levels_kind()}) {
    auto changed = [this] { changed_.set(); };
    group.spawn(follow(ctx, &registry_->store(), registry::kind_prefix(*kind), changed));
  }
  group.spawn(keep_objects(ctx));
  TimePoint next = ctx.loop().now() + kShareEvery;
  while (!ctx.done()) {
    Context until = ctx.with_deadline(next);
    Status s = co_await changed_.wait(until);
    if (ctx.done()) break;
    if (s.ok()) {
      changed_.reset();
      refresh(ctx.loop());
    } else {
      next = ctx.loop().now() + kShareEvery;
      adjust(ctx.loop());
    }
    co_await write_statuses(ctx);
  }
  co_await group.join();
}

bool FlowControl::too_often(const std::string& schema, TimePoint now) {
  std::vector<TimePoint>& times = written_[schema];
  std::erase_if(times, [&](TimePoint t) { return t + 1min < now; });
  if (times.size() >= kMaxWrites) return true;
  times.push_back(now);
  return false;
}

namespace {

struct Words {
  std::string status, reason, message;
};

Words dangling_words(const std::string& level, bool dangling) {
  const std::string object =
      "This FlowSchema references the PriorityLevelConfiguration object named \"" + level + "\" ";
  if (dangling) return {"True", "NotFound", object + "but there is no such object"};
  return {"False", "Found", object + "and it exists"};
}

bool says(const Value& condition, const Words& w) {
  return condition["status"].as_string() == w.status &&
         condition["reason"].as_string() == w.reason &&
         condition["message"].as_string() == w.message;
}

Document status_of(const std::string& schema, const Words& w, WallTime now) {
  Document d;
  d.root = Value::map();
  registry::set_text(d, d.root, "apiVersion", "flowcontrol.apiserver.k8s.io/v1");
  registry::set_text(d, d.root, "kind", "FlowSchema");
  registry::set_meta(d, "name", schema);
  Value& c = registry::edit_condition(d, "Dangling");
  registry::set_text(d, c, "status", w.status);
  registry::set_text(d, c, "reason", w.reason);
  registry::set_text(d, c, "message", w.message);
  registry::set_text(d, c, "lastTransitionTime", registry::time_text(now));
  return d;
}

registry::WriteRequest as_consumer() {
  registry::WriteRequest how;
  how.user = "system:apiserver";
  how.groups = {"system:masters"};
  how.field_manager = "api-priority-and-fairness-config-consumer-v1";
  how.force = true;
  return how;
}

Task<void> write_status(Context ctx, registry::Registry* registry, std::string schema,
                        Document status) {
  auto done = co_await registry->apply(ctx, &schemas(), "", schema, "status", std::move(status),
                                       as_consumer());
  const bool fine = done.ok() || done.status().is(Reason::kNotFound) || ctx.done();
  if (!fine) {
    log::warn("FlowSchema's status is not written",
              {{"flowSchema", schema}, {"err", done.status()}});
  }
}

}  // namespace

Task<void> FlowControl::write_statuses(Context ctx) {
  auto snapshot = registry_->store().snapshot();
  const WallTime now = ctx.loop().wall_now();
  TaskGroup group(ctx.loop());
  std::vector<WantedStatus> wanted;
  {
    std::lock_guard lock(mutex_);
    wanted = wanted_;
  }
  for (const WantedStatus& w : wanted) {
    ObjectPtr o = snapshot->get(registry::object_key(schemas(), "", w.schema));
    if (!o) continue;
    const Words words = dangling_words(w.level, w.dangling);
    bool right = false;
    DocumentPtr tree = o->tree();
    for (const Value& c : tree->root["status"]["conditions"].items()) {
      right |= c["type"].as_string() == "Dangling" && says(c, words);
    }
    if (right || too_often(w.schema, ctx.loop().now())) continue;
    group.spawn(write_status(ctx, registry_, w.schema, status_of(w.schema, words, now)));
  }
  std::erase_if(written_, [&](const auto& e) {
    return !snapshot->get(registry::object_key(schemas(), "", e.first));
  });
  co_await group.join();
}

}  // namespace keles::flow
