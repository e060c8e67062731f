#include "sim/checker.h"

#include <algorithm>
#include <cstdio>

#include "api/batch_v1.h"
#include "api/core_v1.h"
#include "api/policy_v1.h"
#include "api/resource_v1.h"
#include "api/storage_v1.h"
#include "machinery/quantity.h"

namespace keles::sim {
namespace {

namespace batch = api::batch_v1;
namespace core = api::core_v1;
namespace policy = api::policy_v1;

constexpr std::string_view kPods = "/registry/pods/";
constexpr std::string_view kNodes = "/registry/minions/";
constexpr std::string_view kBudgets = "/registry/poddisruptionbudgets/";
constexpr std::string_view kJobs = "/registry/jobs/";
constexpr std::string_view kQuotas = "/registry/resourcequotas/";
constexpr std::string_view kDeviceClaims = "/registry/resourceclaims/";
constexpr std::string_view kAttachments = "/registry/volumeattachments/";
// Names of quotas, and where they count.
constexpr std::pair<std::string_view, std::string_view> kCounted[] = {
    {"count/secrets", "/registry/secrets/"},
    {"count/networkpolicies.networking.k8s.io", "/registry/networkpolicies/"}};
constexpr std::string_view kLeases = "/registry/leases/";

int64_t milli(std::string_view q) { return Quantity::parse_or_zero(q).milli_value(); }
int64_t whole(std::string_view q) { return Quantity::parse_or_zero(q).value(); }

}  // namespace

void Checker::violation(std::string what) {
  violations_.push_back("t=" + std::to_string(loop_.now().ns / 1'000'000) + "ms revision " +
                        std::to_string(revision_) + ": " + std::move(what));
}

void Checker::fold(std::string_view bytes) { hash_ = fnv1a_64(bytes, hash_); }

void Checker::fold(int64_t number) {
  char bytes[8];
  for (int i = 0; i < 8; ++i)
    bytes[i] = static_cast<char>(static_cast<uint64_t>(number) >> (8 * i));
  fold({bytes, sizeof bytes});
}

void Checker::acknowledged(const std::string& key, int64_t revision, bool deleted) {
  Ack& a = acknowledged_[key];
  if (revision > a.revision) a = {revision, deleted};
  highest_acknowledged_ = std::max(highest_acknowledged_, revision);
}

void Checker::opened(const Store& store) {
  auto snapshot = store.snapshot();
  if (snapshot->revision() < highest_acknowledged_) {
    violation("the store came back at revision " + std::to_string(snapshot->revision()) +
              ", before the acknowledged " + std::to_string(highest_acknowledged_));
  }
  for (auto& r : store.unreadable("")) in_doubt_.insert(r.key);  // it says so itself
  for (auto& [key, ack] : acknowledged_) {
    ObjectPtr now = snapshot->get(key);
    if (in_doubt_.contains(key)) continue;
    if (ack.deleted && now) violation("deleted " + key + " came back");
    if (!ack.deleted && !now) violation("acknowledged " + key + " was lost");
    if (!ack.deleted && now && now->revision() != ack.revision)
      violation("acknowledged " + key + " came back at another revision");
  }
  fold(snapshot->revision());
  in_doubt_.clear();
  acknowledged_.clear();
  model_.clear();
  pods_.clear();
  nodes_.clear();
  rations_.clear();
  budgets_.clear();
  completed_.clear();
  devices_.clear();
  attached_.clear();
  revision_ = snapshot->revision();
  reopening_ = true;
  snapshot->scan("/registry/", "", [this](std::string_view key, const ObjectPtr& o) {
    acknowledged_[std::string(key)] = {o->revision(), false};
    put(key, o);
    return true;
  });
  reopening_ = false;
  for (auto& [name, node] : nodes_) check_fit(name);
}

Task<void> Checker::follow(Context ctx, Store* store) {
  auto watch = store->watch(loop_, "/registry/", revision_);
  if (!watch.ok()) {
    violation("the store refuses a watch from its own revision: " + watch.status().to_string());
    co_return;
  }
  for (;;) {
    auto events = co_await (*watch)->next(ctx, 100);
    if (!events.ok()) break;
    for (auto& e : *events) on_event(*e);
  }
}

void Checker::on_event(const StoreEvent& e) {
  ++events_;
  std::string key(e.key);
  if (e.revision <= revision_) violation("revision did not rise at " + key);
  revision_ = e.revision;
  auto known = model_.find(key);
  int64_t before = known == model_.end() ? 0 : known->second.revision;
  int64_t claimed = e.before ? e.before->revision() : 0;
  if (before != claimed) {
    violation("the watch missed a change of " + key + ": it says that " + std::to_string(claimed) +
              " was before, we saw " + std::to_string(before));
  }
  if ((e.type == StoreEvent::Type::kAdded) != (e.before == nullptr))
    violation("an event of " + key + " has the wrong type");
  fold(key);
  fold(e.revision);
  fold(static_cast<int64_t>(e.type));
  fold(loop_.now().ns);
  fold(*e.object->stored());
  bool lease = key.starts_with(kLeases);
  if (quiet_ && !lease && quiet_writes_.size() < 100) quiet_writes_.push_back(key);
  if (verbose && !lease) {
    static constexpr const char* kTypes[] = {"add", "mod", "del"};
    std::printf("%10.3fs %7lld %s %s\n", static_cast<double>(loop_.now().ns) / 1e9,
                static_cast<long long>(e.revision), kTypes[static_cast<int>(e.type)], key.c_str());
    if (!show.empty() && key.find(show) != std::string::npos)
      std::printf("%s\n", e.object->json()->c_str());
  }
  if (e.type == StoreEvent::Type::kDeleted) {
    take_away(key);
  } else {
    put(key, e.object);
  }
}

void Checker::put(std::string_view key_view, const ObjectPtr& object) {
  std::string key(key_view);
  std::string uid(object->uid());
  Seen& seen = model_[key];
  if (!seen.uid.empty() && seen.uid != uid)
    violation(key + " changed its uid from " + seen.uid + " to " + uid);
  seen.revision = object->revision();
  seen.uid = uid;
  if (!uid.empty()) {
    auto [at, fresh] = uids_.emplace(uid, key);
    if (!fresh && at->second != key)
      violation("uid " + uid + " is of " + at->second + " and of " + key);
  }
  check_quotas(key, object);
  if (key.starts_with(kPods)) {
    Ref<core::Pod> pod = read<core::Pod>(object);
    Pod now;
    now.uid = uid;
    now.node = pod->spec().node_name();
    now.ip = pod->status().pod_ip();
    now.live = pod->status().phase() != "Succeeded" && pod->status().phase() != "Failed";
    now.runs = pod->status().phase() == "Running";
    now.succeeded = pod->status().phase() == "Succeeded";
    now.leaving = !pod->metadata().deletion_timestamp().empty();
    now.object = object;
    for (auto c : pod->status().conditions()) {
      if (c.status() != "True") continue;
      now.ready = now.ready || c.type() == "Ready";
      now.evicted =
          now.evicted || (c.type() == "DisruptionTarget" && c.reason() == "EvictionByEvictionAPI");
    }
    for (auto r : pod->metadata().owner_references()) {
      constexpr std::string_view kIndex = "batch.kubernetes.io/job-completion-index";
      auto annotations = pod->metadata().annotations();
      if (!r.controller() || r.kind() != "Job" || !annotations.contains(kIndex)) continue;
      now.job_index = std::string(r.uid()) + "/" + std::string(annotations.get(kIndex));
    }
    for (auto c : pod->spec().containers()) {
      auto requests = c.resources().requests();
      now.cpu_milli += milli(requests.get("cpu"));
      now.memory += whole(requests.get("memory"));
    }
    auto old = pods_.find(key);
    Pod before;
    bool had = old != pods_.end();
    if (had) before = old->second;
    pods_[key] = now;
    check_pod(key, had ? &before : nullptr, now);
  } else if (key.starts_with(kBudgets)) {
    check_budget(key, object);
  } else if (key.starts_with(kJobs)) {
    check_job(key, object);
  } else if (key.starts_with(kDeviceClaims)) {
    check_devices(key, object);
  } else if (key.starts_with(kAttachments)) {
    check_attachment(key, object);
  } else if (key.starts_with(kNodes)) {
    Ref<core::Node> node = read<core::Node>(object);
    auto allocatable = node->status().allocatable();
    nodes_[key.substr(kNodes.size())] = {milli(allocatable.get("cpu")),
                                         whole(allocatable.get("memory")),
                                         whole(allocatable.get("pods"))};
  }
}

// What is let in is never more than the quotas of its namespace allow, through whatever server.
void Checker::check_quotas(const std::string& key, const ObjectPtr& object) {
  if (key.starts_with(kQuotas)) {
    const std::string ns(object->namespace_());
    auto hard = read<core::ResourceQuota>(object)->status().hard();
    for (const auto& [name, where] : kCounted) {
      if (hard.contains(name)) rations_[std::string(where) + ns + "/"] = whole(hard.get(name));
    }
  }
  auto ration = rations_.upper_bound(key);
  if (ration == rations_.begin() || !key.starts_with((--ration)->first)) return;
  int64_t n = 0;
  for (auto at = model_.lower_bound(ration->first);
       at != model_.end() && at->first.starts_with(ration->first); ++at) {
    ++n;
  }
  if (n > ration->second) {
    violation("a quota is exceeded by " + key + ": " + std::to_string(n) + " of " +
              std::to_string(ration->second));
  }
}

void Checker::take_away(std::string_view key) {
  auto it = model_.find(key);
  if (it != model_.end()) model_.erase(it);
  auto pod = pods_.find(key);
  if (pod != pods_.end()) pods_.erase(pod);
  if (key.starts_with(kBudgets)) budgets_.erase(std::string(key));
  if (key.starts_with(kNodes)) nodes_.erase(std::string(key.substr(kNodes.size())));
  if (key.starts_with(kDeviceClaims)) devices_.erase(std::string(key));
  if (key.starts_with(kAttachments)) attached_.erase(std::string(key));
}

void Checker::check_pod(const std::string& key, const Pod* before, const Pod& now) {
  if (before && before->uid == now.uid) check_eviction(key, *before, now);
  if (!before || before->uid != now.uid) check_index(key, now);
  if (!now.node.empty()) {
    auto [at, fresh] = bound_.emplace(now.uid, now.node);
    if (!fresh && at->second != now.node)
      violation(key + " was bound to " + at->second + " and then to " + now.node);
    bool new_here =
        !before || (late_requests ? before->runs != now.runs : before->node != now.node);
    if (new_here) check_fit(now.node);
  } else if (before && !before->node.empty() && before->uid == now.uid) {
    violation(key + " lost its node");
  }
  if (now.live && !now.ip.empty() && (!before || before->ip != now.ip)) {
    for (auto& [other, p] : pods_) {
      if (other != key && p.live && p.ip == now.ip)
        violation(key + " and " + other + " both have the address " + now.ip);
    }
  }
}

// A budget names each pod that it lets go, and was asked before the pod was told; one that began to
// select it meanwhile was not. Nobody is asked for a pod that is going already.
void Checker::check_eviction(const std::string& key, const Pod& before, const Pod& now) {
  if (!now.evicted || before.evicted || !before.ready || before.leaving) return;
  auto was = read<core::Pod>(before.object), is = read<core::Pod>(now.object);
  if (!was->metadata().labels().value().equals(is->metadata().labels().value())) return;
  const std::string prefix = std::string(kBudgets) + std::string(now.object->namespace_()) + "/";
  for (auto at = budgets_.lower_bound(prefix);
       at != budgets_.end() && at->first.starts_with(prefix); ++at) {
    const Budget& b = at->second;
    if (loop_.now() - b.since < 1min || !b.selector.matches(is->metadata().labels())) continue;
    if (b.disrupted.contains(std::string(now.object->name()))) continue;
    violation(key + " was evicted, and " + at->first + " was not asked");
  }
}

// No pod is made for an index that one has completed; unless its maker had given the request up, or
// hears late of what the one before it has made.
void Checker::check_index(const std::string& key, const Pod& now) {
  if (now.job_index.empty() || late_requests || late_news || reopening_) return;
  for (const auto& [other, p] : pods_) {
    if (p.job_index != now.job_index || p.uid == now.uid || !p.succeeded || p.leaving) continue;
    violation(key + " is made for an index that " + other + " has completed");
  }
}

void Checker::check_budget(const std::string& key, const ObjectPtr& object) {
  auto budget = read<policy::PodDisruptionBudget>(object);
  auto selector = Selector::from_label_selector(budget->spec().selector());
  Budget now;
  now.uid = std::string(object->uid());
  now.selector = selector.ok() ? *selector : Selector::nothing();
  now.since = loop_.now();
  now.allowed = budget->status().disruptions_allowed();
  for (auto [name, since] : budget->status().disrupted_pods()) now.disrupted.emplace(name);
  if (now.allowed < 0) violation(key + " allows fewer than no disruptions");
  auto old = budgets_.find(key);
  if (old != budgets_.end() && old->second.uid == now.uid) {
    const Budget& before = old->second;
    if (before.selector.to_string() == now.selector.to_string()) now.since = before.since;
    int64_t spent = 0;
    for (const std::string& name : now.disrupted) spent += before.disrupted.contains(name) ? 0 : 1;
    if (spent > 0 && (spent > 1 || now.allowed != before.allowed - 1)) {
      violation(key + " lets " + std::to_string(spent) + " pods go, allowing " +
                std::to_string(before.allowed) + " and then " + std::to_string(now.allowed));
    }
  }
  budgets_[key] = std::move(now);
}

void Checker::check_job(const std::string& key, const ObjectPtr& object) {
  const int64_t n = read<batch::Job>(object)->status().succeeded();
  int64_t& most = completed_[std::string(object->uid())];
  if (n < most) {
    violation(key + " has completed " + std::to_string(n) + " after " + std::to_string(most));
  }
  most = std::max(most, n);
}

// Whoever decides does so from what he has heard: late news, or a request that acts late, may give
// a device away again.
void Checker::check_devices(const std::string& key, const ObjectPtr& object) {
  std::set<std::string> now;
  auto devices = read<api::resource_v1::ResourceClaim>(object)->status().allocation().devices();
  for (auto r : devices.results()) {
    now.insert(std::string(r.driver()) + "/" + std::string(r.pool()) + "/" +
               std::string(r.device()));
  }
  for (const std::string& device : now) {
    for (const auto& [other, theirs] : devices_) {
      if (other == key || !theirs.contains(device) || late_requests || late_news) continue;
      violation(key + " and " + other + " both have the device " + device);
    }
  }
  devices_[key] = std::move(now);
}

void Checker::check_attachment(const std::string& key, const ObjectPtr& object) {
  auto a = read<api::storage_v1::VolumeAttachment>(object);
  if (!a->status().attached()) return;
  const std::string volume(a->spec().source().persistent_volume_name());
  if (!attached_.emplace(key, volume).second) return;
  for (const auto& [other, theirs] : attached_) {
    if (other == key || theirs != volume || late_requests || late_news) continue;
    violation(volume + " is attached twice, by " + key + " and " + other);
  }
}

void Checker::check_fit(const std::string& name) {
  auto node = nodes_.find(name);
  if (node == nodes_.end()) return;
  int64_t cpu = 0, memory = 0, pods = 0;
  for (auto& [key, p] : pods_) {
    if (!p.live || p.node != name || (late_requests && !p.runs)) continue;
    cpu += p.cpu_milli;
    memory += p.memory;
    ++pods;
  }
  if (cpu > node->second.cpu_milli || memory > node->second.memory || pods > node->second.pods) {
    violation("node " + name + " is overcommitted: " + std::to_string(cpu) + "m of " +
              std::to_string(node->second.cpu_milli) + "m cpu, " + std::to_string(pods) + " of " +
              std::to_string(node->second.pods) + " pods");
  }
}

void Checker::compare(const Store& store) {
  auto snapshot = store.snapshot();
  if (snapshot->revision() != revision_) {
    violation("the watch is not level with the store at " + std::to_string(snapshot->revision()));
    return;
  }
  size_t n = 0;
  snapshot->scan("/registry/", "", [&](std::string_view key, const ObjectPtr& o) {
    ++n;
    auto it = model_.find(key);
    if (it == model_.end() || it->second.revision != o->revision())
      violation("what the watch told of " + std::string(key) + " is not what the store holds");
    return true;
  });
  if (n != model_.size()) violation("the watch told of keys that the store does not hold");
}

Task<Result<ObjectPtr>> RecordingStore::write(Context ctx, StoreWrite w) {
  std::string key = w.key;
  bool deletes = w.stored == nullptr;
  if (!store_) co_return Status::unavailable("store is closed");
  Result<ObjectPtr> r = co_await store_->write(std::move(ctx), std::move(w));
  if (r.ok()) {
    checker_->acknowledged(key, (*r)->revision(), deletes);
  } else if (r.status().is(Reason::kOutcomeUnknown)) {
    checker_->in_doubt(key);
  }
  co_return std::move(r);
}

}  // namespace keles::sim
