// The pure half of the deployment controller.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/encoding.h"
#include "controllers/deployment.h"
#include "controllers/ownership.h"
#include "machinery/codec_protobuf.h"
#include "machinery/time.h"

namespace keles::controllers {

using namespace api::apps_v1;
using api::core_v1::PodTemplateSpec;
using api::core_v1::PodTemplateSpecEdit;

namespace {

constexpr std::string_view kHashLabel = "pod-template-hash";
constexpr std::string_view kRevision = "deployment.kubernetes.io/revision";
constexpr std::string_view kRevisionHistory = "deployment.kubernetes.io/revision-history";
constexpr std::string_view kDesired = "deployment.kubernetes.io/desired-replicas";
constexpr std::string_view kMax = "deployment.kubernetes.io/max-replicas";
constexpr std::string_view kRollbackTo = "deprecated.deployment.rollback.to";
constexpr size_t kMaxHistoryLength = 2000;
constexpr int64_t kNoLimit = INT32_MAX;

bool skips_copy(std::string_view key) {
  return key == "kubectl.kubernetes.io/last-applied-configuration" || key == kRevision ||
         key == kRevisionHistory || key == kDesired || key == kMax || key == kRollbackTo;
}

int64_t to_int(std::string_view s, int64_t fallback) {
  int64_t v = 0;
  auto [at, error] = std::from_chars(s.data(), s.data() + s.size(), v);
  return error == std::errc() && !s.empty() && at == s.data() + s.size() ? v : fallback;
}

// The canonical encoding of a template without its hash label: what equality and the hash mean.
std::string canonical(const PodTemplateSpec& t) {
  Draft<PodTemplateSpecEdit> copy(t);
  if (copy->metadata().labels().contains(kHashLabel)) {
    copy->edit_metadata().edit_labels().erase(kHashLabel);
  }
  static const TypeDesc* kType = find_type("io.k8s.api.core.v1.PodTemplateSpec");
  return encode_protobuf(*kType, copy.value());
}

// One ReplicaSet as the plan changes it.
struct Set {
  Ref<ReplicaSet> rs;
  int64_t replicas = 0;  // planned
  bool fresh = false;    // to be created by this plan
  int64_t spec_replicas() const {
    return rs ? (rs->spec().has_replicas() ? rs->spec().replicas() : 1) : 0;
  }
  int64_t current() const { return rs ? rs->status().replicas() : 0; }
  int64_t ready() const { return rs ? rs->status().ready_replicas() : 0; }
  int64_t available() const { return rs ? rs->status().available_replicas() : 0; }
};

class Planner {
 public:
  Planner(const Deployment& d, const std::vector<Ref<ReplicaSet>>& sets, bool old_pods_live,
          WallTime now);
  DeploymentPlan run();

 private:
  bool rolling() const { return d_.spec().strategy().type() != "Recreate"; }
  bool has_deadline() const { return has_progress_deadline(d_); }
  int64_t wanted() const { return d_.spec().has_replicas() ? d_.spec().replicas() : 1; }
  int64_t max_surge() const { return rolling() ? surge_ : 0; }
  int64_t max_unavailable() const {
    return !rolling() || wanted() == 0 ? 0 : std::min(unavailable_, wanted());
  }
  bool has_new() const { return new_.rs || new_.fresh; }
  int64_t total_replicas() const;
  int64_t new_set_target() const;
  bool is_scaling_event() const;
  std::vector<Set*> active();

  void check_paused();
  void sync_new_set();
  void make_new_set();
  bool annotate_new_set(ReplicaSetEdit rs, bool exists);
  DeploymentPlan::Update& edit(const Set& s);
  void scale(Set& s, int64_t to);
  void scale_all();
  void scale_proportionally();
  void roll();
  void recreate();
  bool shrink_old_sets();
  bool is_complete(const DeploymentStatus& s) const;
  void drop_history();
  std::optional<int64_t> terminating() const;
  void compute_status();
  void compute_progress();
  void compute_failure();

  DeploymentCondition condition(std::string_view type) const {
    return find_condition(plan_.status->status().conditions(), type);
  }
  void drop_condition(std::string_view type) {
    if (condition(type)) remove_condition(plan_.status->edit_status().edit_conditions(), type);
  }
  void set_condition(std::string_view type, std::string_view status, std::string_view reason,
                     std::string message);

  const Deployment& d_;
  bool old_pods_live_;
  WallTime now_;
  int64_t surge_ = 0, unavailable_ = 0;
  Set new_;
  std::vector<Set> old_;  // oldest first
  DeploymentPlan plan_;
};

bool older(const Ref<ReplicaSet>& a, const Ref<ReplicaSet>& b) {
  std::string_view ta = a->metadata().creation_timestamp(), tb = b->metadata().creation_timestamp();
  return ta != tb ? ta < tb : a->metadata().name() < b->metadata().name();
}

int64_t revision_of(const Ref<ReplicaSet>& rs) {
  return to_int(rs->metadata().annotations().get(kRevision), 0);
}

Planner::Planner(const Deployment& d, const std::vector<Ref<ReplicaSet>>& sets, bool old_pods_live,
                 WallTime now)
    : d_(d), old_pods_live_(old_pods_live), now_(now) {
  plan_.status = Draft<DeploymentEdit>(d);
  auto rolling = d.spec().strategy().rolling_update();
  surge_ = scaled_value(rolling.max_surge(), wanted(), true, 0);
  unavailable_ = scaled_value(rolling.max_unavailable(), wanted(), false, 0);
  if (surge_ == 0 && unavailable_ == 0) unavailable_ = 1;  // otherwise nothing could ever move
  Ref<ReplicaSet> current = find_new_replica_set(d, sets);
  if (current) {
    new_.rs = current;
    new_.replicas = new_.spec_replicas();
  }
  std::vector<Ref<ReplicaSet>> sorted = sets;
  std::sort(sorted.begin(), sorted.end(), older);
  for (const auto& rs : sorted) {
    if (current && rs->metadata().uid() == current->metadata().uid()) continue;
    Set s;
    s.rs = rs;
    s.replicas = s.spec_replicas();
    old_.push_back(std::move(s));
  }
}

int64_t Planner::total_replicas() const {
  int64_t n = new_.replicas;
  for (const Set& s : old_) n += s.replicas;
  return n;
}

std::vector<Set*> Planner::active() {
  std::vector<Set*> out;
  for (Set& s : old_) {
    if (s.replicas > 0) out.push_back(&s);
  }
  if (has_new() && new_.replicas > 0) out.push_back(&new_);
  return out;
}

int64_t Planner::new_set_target() const {
  if (!rolling()) return wanted();
  int64_t limit = wanted() + max_surge(), have = total_replicas();
  if (have >= limit) return new_.replicas;
  return new_.replicas + std::min(limit - have, wanted() - new_.replicas);
}

bool Planner::is_scaling_event() const {
  auto differs = [this](const Set& s) {
    if (!s.rs || s.replicas == 0) return false;
    int64_t desired = to_int(s.rs->metadata().annotations().get(kDesired), -1);
    return desired >= 0 && desired != wanted();
  };
  return differs(new_) || std::any_of(old_.begin(), old_.end(), differs);
}

void Planner::set_condition(std::string_view type, std::string_view status, std::string_view reason,
                            std::string message) {
  DeploymentCondition old = condition(type);
  if (old && old.status() == status && old.reason() == reason) return;
  std::string now = format_time(now_);
  std::string since = old && old.status() == status ? std::string(old.last_transition_time()) : now;
  drop_condition(type);
  auto c = plan_.status->edit_status().edit_conditions().add();
  c.set_type(type);
  c.set_status(status);
  c.set_last_update_time(now);
  c.set_last_transition_time(since);
  c.set_reason(reason);
  c.set_message(message);
}

void Planner::check_paused() {
  if (!has_deadline()) return;
  DeploymentCondition c = condition("Progressing");
  if (c && c.reason() == "ProgressDeadlineExceeded") return;
  bool noted = c && c.reason() == "DeploymentPaused";
  if (d_.spec().paused() && !noted) {
    set_condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused");
  } else if (!d_.spec().paused() && noted) {
    set_condition("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed");
  }
}

// --- the current set: its annotations, and its making ---

bool Planner::annotate_new_set(ReplicaSetEdit rs, bool exists) {
  int64_t last = 0;
  for (const Set& s : old_) last = std::max(last, revision_of(s.rs));
  bool changed = false;
  auto a = rs.edit_metadata().edit_annotations();
  for (auto [k, v] : d_.metadata().annotations()) {
    if (skips_copy(k) || (a.contains(k) && a.get(k) == v)) continue;
    a.set(k, v);
    changed = true;
  }
  std::string had(a.get(kRevision));
  if (to_int(had, 0) < last + 1) {
    a.set(kRevision, std::to_string(last + 1));
    changed = true;
    if (!had.empty()) {  // rolled back to: keep which revisions it has been
      std::string history(a.get(kRevisionHistory));
      while (!history.empty() && history.size() + had.size() + 1 > kMaxHistoryLength) {
        size_t comma = history.find(',');
        history = comma == std::string::npos ? "" : history.substr(comma + 1);
      }
      a.set(kRevisionHistory, history.empty() ? had : history + "," + had);
    }
  }
  if (!exists) {
    a.set(kDesired, std::to_string(wanted()));
    a.set(kMax, std::to_string(wanted() + max_surge()));
    changed = true;
  }
  plan_.revision = std::string(a.get(kRevision));
  return changed;
}

DeploymentPlan::Update& Planner::edit(const Set& s) {
  for (auto& u : plan_.updates) {
    if (u.before->metadata().uid() == s.rs->metadata().uid()) return u;
  }
  int64_t n = s.spec_replicas();
  plan_.updates.push_back({s.rs, Draft<ReplicaSetEdit>(*s.rs), n, n});
  return plan_.updates.back();
}

// Brings the annotations of the current set, if there is one, up to date.
void Planner::sync_new_set() {
  if (!new_.rs) return;
  Draft<ReplicaSetEdit> copy(*new_.rs);
  bool changed = annotate_new_set(*copy, true);
  if (copy->spec().min_ready_seconds() != d_.spec().min_ready_seconds()) {
    copy->edit_spec().set_min_ready_seconds(d_.spec().min_ready_seconds());
    changed = true;
  }
  if (changed) edit(new_).now = std::move(copy);
  if (has_deadline() && !condition("Progressing")) {
    set_condition("Progressing", "True", "FoundNewReplicaSet",
                  "Found new replica set \"" + std::string(new_.rs->metadata().name()) + "\"");
  }
}

void Planner::make_new_set() {
  if (has_new()) return;
  std::string hash = template_hash(d_.spec().template_(), d_.status().collision_count());
  std::string name = std::string(d_.metadata().name()) + "-" + hash;
  Draft<ReplicaSetEdit> rs;
  auto meta = rs->edit_metadata();
  meta.set_name(name);
  meta.set_namespace_(d_.metadata().namespace_());
  set_controller_reference(meta, kind_of<Deployment>(), d_.metadata());
  for (auto [k, v] : d_.spec().template_().metadata().labels()) meta.edit_labels().set(k, v);
  meta.edit_labels().set(kHashLabel, hash);
  auto spec = rs->edit_spec();
  if (d_.spec().min_ready_seconds() != 0) {
    spec.set_min_ready_seconds(d_.spec().min_ready_seconds());
  }
  spec.set_selector(d_.spec().selector());
  spec.edit_selector().edit_match_labels().set(kHashLabel, hash);
  spec.set_template_(d_.spec().template_());
  spec.edit_template_().edit_metadata().edit_labels().set(kHashLabel, hash);
  new_.fresh = true;
  new_.replicas = 0;
  new_.replicas = new_set_target();
  spec.set_replicas(new_.replicas);
  annotate_new_set(*rs, false);
  plan_.create = std::move(rs);
  if (has_deadline()) {
    set_condition("Progressing", "True", "NewReplicaSetCreated",
                  "Created new replica set \"" + name + "\"");
  }
}

// --- scaling ---

void Planner::scale(Set& s, int64_t to) {
  if (!s.rs) {
    s.replicas = to;
    if (plan_.create) (*plan_.create)->edit_spec().set_replicas(to);
    return;
  }
  std::string desired = std::to_string(wanted()), max = std::to_string(wanted() + max_surge());
  auto old = s.rs->metadata().annotations();
  if (to == s.spec_replicas() && old.get(kDesired) == desired && old.get(kMax) == max) return;
  s.replicas = to;
  auto& u = edit(s);
  u.to = to;
  u.now->edit_spec().set_replicas(to);
  auto a = u.now->edit_metadata().edit_annotations();
  a.set(kDesired, desired);
  a.set(kMax, max);
}

// A Deployment that is paused, or whose size was changed: no rollout, only sizes.
void Planner::scale_all() {
  std::vector<Set*> live = active();
  if (live.size() <= 1) {
    Set* only = !live.empty() ? live[0] : has_new() ? &new_ : old_.empty() ? nullptr : &old_.back();
    if (only && only->replicas != wanted()) scale(*only, wanted());
    if (only && only->replicas == wanted()) scale(*only, wanted());  // its annotations
    return;
  }
  bool saturated = has_new() && new_.replicas == wanted() && new_.available() == wanted() &&
                   new_.rs &&
                   to_int(new_.rs->metadata().annotations().get(kDesired), -1) == wanted();
  if (saturated) {
    for (Set& s : old_) {
      if (s.replicas > 0) scale(s, 0);
    }
    return;
  }
  if (rolling()) {
    scale_proportionally();
  } else if (!d_.spec().paused()) {
    // Sizes alone would never bring a Recreate of two live sets to its end (upstream's stays there).
    recreate();
  }
}

void Planner::scale_proportionally() {
  std::vector<Set*> live = active();
  int64_t have = 0;
  for (Set* s : live) have += s->replicas;
  int64_t allowed = wanted() > 0 ? wanted() + max_surge() : 0;
  int64_t to_add = allowed - have, added = 0;
  // The largest first; among equals, the newer when growing and the older when shrinking.
  std::stable_sort(live.begin(), live.end(), [to_add](Set* a, Set* b) {
    if (a->replicas != b->replicas) return a->replicas > b->replicas;
    return to_add > 0 ? older(b->rs, a->rs) : older(a->rs, b->rs);
  });
  std::vector<int64_t> sizes;
  for (Set* s : live) {
    int64_t part = 0;
    if (to_add != 0 && s->replicas != 0 && to_add != added) {
      int64_t was_max = to_int(s->rs->metadata().annotations().get(kMax), 0);
      if (was_max == 0) was_max = std::max<int64_t>(d_.status().replicas(), 1);
      double share = static_cast<double>(s->replicas * (wanted() + max_surge())) /
                     static_cast<double>(was_max);
      part = wanted() == 0 ? -s->replicas : static_cast<int64_t>(std::llround(share)) - s->replicas;
      part = to_add > 0 ? std::min(part, to_add - added) : std::max(part, to_add - added);
    }
    sizes.push_back(s->replicas + part);
    added += part;
  }
  if (!sizes.empty() && to_add != 0) sizes[0] = std::max<int64_t>(0, sizes[0] + to_add - added);
  for (size_t i = 0; i < live.size(); ++i) scale(*live[i], sizes[i]);
}

// --- rollouts ---

bool Planner::shrink_old_sets() {
  int64_t in_old = 0, available = new_.available();
  for (Set& s : old_) {
    in_old += s.replicas;
    available += s.available();
  }
  if (in_old == 0) return false;
  int64_t min_available = wanted() - max_unavailable();
  int64_t new_unavailable = std::max<int64_t>(0, new_.spec_replicas() - new_.available());
  int64_t may_go = total_replicas() - min_available - new_unavailable;
  if (may_go <= 0) return false;
  int64_t gone = 0;
  // Pods that serve nobody go first.
  for (Set& s : old_) {
    if (gone >= may_go) break;
    int64_t unhealthy = s.replicas - s.available();
    if (s.replicas == 0 || unhealthy <= 0) continue;
    int64_t n = std::min(may_go - gone, unhealthy);
    scale(s, s.replicas - n);
    gone += n;
  }
  int64_t budget = available - min_available;
  for (Set& s : old_) {
    if (budget <= 0) break;
    if (s.replicas == 0) continue;
    int64_t n = std::min(s.replicas, budget);
    scale(s, s.replicas - n);
    budget -= n;
    gone += n;
  }
  return gone > 0;
}

void Planner::roll() {
  make_new_set();
  if (!new_.fresh) {
    int64_t target = new_.replicas > wanted() ? wanted() : new_set_target();
    if (target != new_.replicas) {
      scale(new_, target);
      return;
    }
    if (shrink_old_sets()) return;
  }
  if (is_complete(d_.status())) drop_history();
}

void Planner::recreate() {
  bool shrunk = false;
  for (Set& s : old_) {
    if (s.replicas == 0) continue;
    scale(s, 0);
    shrunk = true;
  }
  if (shrunk) return;
  for (const Set& s : old_) {
    if (s.current() > 0) return;
  }
  if (old_pods_live_) return;
  make_new_set();
  if (!new_.fresh && new_.replicas != wanted()) scale(new_, wanted());
  if (is_complete(d_.status())) drop_history();
}

bool Planner::is_complete(const DeploymentStatus& s) const {
  return s.updated_replicas() == wanted() && s.replicas() == wanted() &&
         s.available_replicas() == wanted() &&
         s.observed_generation() >= d_.metadata().generation();
}

void Planner::drop_history() {
  if (!d_.spec().has_revision_history_limit()) return;
  int64_t limit = d_.spec().revision_history_limit();
  if (limit == kNoLimit) return;
  std::vector<Ref<ReplicaSet>> candidates;
  for (const Set& s : old_) {
    if (s.rs->metadata().deletion_timestamp().empty()) candidates.push_back(s.rs);
  }
  int64_t excess = static_cast<int64_t>(candidates.size()) - limit;
  if (excess <= 0) return;
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const auto& a, const auto& b) { return revision_of(a) < revision_of(b); });
  for (int64_t i = 0; i < excess; ++i) {
    const auto& rs = candidates[static_cast<size_t>(i)];
    bool in_use = rs->status().replicas() != 0 || rs->spec().replicas() != 0 ||
                  rs->metadata().generation() > rs->status().observed_generation();
    if (!in_use) plan_.remove.push_back(rs);
  }
}

// --- status ---

// Of all sets (KEP 3973); unknown while one that has been looked at does not tell.
std::optional<int64_t> Planner::terminating() const {
  int64_t n = 0;
  std::vector<const Set*> all{&new_};
  for (const Set& s : old_) all.push_back(&s);
  for (const Set* s : all) {
    if (!s->rs) continue;
    auto status = s->rs->status();
    if (!status.has_terminating_replicas() && status.observed_generation() != 0) {
      return std::nullopt;
    }
    n += status.terminating_replicas();
  }
  return n;
}

void Planner::compute_status() {
  int64_t current = new_.current(), ready = new_.ready(), available = new_.available();
  for (const Set& s : old_) {
    current += s.current();
    ready += s.ready();
    available += s.available();
  }
  auto s = plan_.status->edit_status();
  s.set_observed_generation(d_.metadata().generation());
  s.set_replicas(current);
  s.set_updated_replicas(new_.current());
  s.set_ready_replicas(ready);
  s.set_available_replicas(available);
  s.set_unavailable_replicas(std::max<int64_t>(0, total_replicas() - available));
  if (auto going = terminating()) {
    s.set_terminating_replicas(*going);
  } else {
    s.clear_terminating_replicas();
  }
  if (available >= wanted() - max_unavailable()) {
    set_condition("Available", "True", "MinimumReplicasAvailable",
                  "Deployment has minimum availability.");
  } else {
    set_condition("Available", "False", "MinimumReplicasUnavailable",
                  "Deployment does not have minimum availability.");
  }
}

void Planner::compute_failure() {
  drop_condition("ReplicaFailure");
  std::vector<const Set*> order{&new_};
  for (const Set& s : old_) order.push_back(&s);
  for (const Set* s : order) {
    if (!s->rs) continue;
    for (ReplicaSetCondition c : s->rs->status().conditions()) {
      if (c.type() != "ReplicaFailure") continue;
      auto f = plan_.status->edit_status().edit_conditions().add();
      f.set_type("ReplicaFailure");
      f.set_status(c.status());
      f.set_last_update_time(c.last_transition_time());
      f.set_last_transition_time(c.last_transition_time());
      f.set_reason(c.reason());
      f.set_message(c.message());
      return;
    }
  }
}

void Planner::compute_progress() {
  if (!has_deadline()) {
    drop_condition("Progressing");
    return;
  }
  DeploymentCondition c = condition("Progressing");
  const DeploymentStatus fresh = plan_.status->status(), old = d_.status();
  bool was_complete =
      c && c.reason() == "NewReplicaSetAvailable" && fresh.replicas() == fresh.updated_replicas();
  std::string what = new_.rs ? "ReplicaSet \"" + std::string(new_.rs->metadata().name()) + "\""
                             : "Deployment \"" + std::string(d_.metadata().name()) + "\"";
  if (!was_complete) {
    Duration deadline = std::chrono::seconds(d_.spec().progress_deadline_seconds());
    WallTime since = c ? time_or_none(c.last_update_time()) : now_;
    bool progressing =
        fresh.updated_replicas() > old.updated_replicas() ||
        fresh.replicas() - fresh.updated_replicas() < old.replicas() - old.updated_replicas() ||
        fresh.ready_replicas() > old.ready_replicas() ||
        fresh.available_replicas() > old.available_replicas();
    bool timed_out =
        c && c.reason() != "NewReplicaSetAvailable" &&
        (c.reason() == "ProgressDeadlineExceeded" || (since != kNone && since + deadline < now_));
    if (is_complete(fresh)) {
      set_condition("Progressing", "True", "NewReplicaSetAvailable",
                    what + " has successfully progressed.");
    } else if (progressing) {
      std::string transition =
          c && c.status() == "True" ? std::string(c.last_transition_time()) : format_time(now_);
      drop_condition("Progressing");  // its time of update is the mark of progress
      set_condition("Progressing", "True", "ReplicaSetUpdated", what + " is progressing.");
      auto list = plan_.status->edit_status().edit_conditions();
      list[list.size() - 1].set_last_transition_time(transition);
    } else if (timed_out && !d_.spec().paused()) {
      set_condition("Progressing", "False", "ProgressDeadlineExceeded",
                    what + " has timed out progressing.");
    }
  }
  c = condition("Progressing");
  if (!c || is_complete(plan_.status->status()) || c.reason() == "ProgressDeadlineExceeded") return;
  WallTime since = time_or_none(c.last_update_time());
  if (since == kNone || d_.spec().paused()) return;
  Duration left = since + std::chrono::seconds(d_.spec().progress_deadline_seconds()) - now_;
  plan_.requeue_after = std::max<Duration>(left, Duration(0)) + 1s;
}

bool same_conditions(const List<DeploymentCondition>& a, const List<DeploymentCondition>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    bool found = false;  // their order means nothing
    for (size_t j = 0; j < b.size(); ++j) {
      if (a[i].type() != b[j].type()) continue;
      found = a[i].status() == b[j].status() && a[i].reason() == b[j].reason() &&
              a[i].message() == b[j].message() &&
              a[i].last_update_time() == b[j].last_update_time() &&
              a[i].last_transition_time() == b[j].last_transition_time();
    }
    if (!found) return false;
  }
  return true;
}

bool same_status(const DeploymentStatus& a, const DeploymentStatus& b) {
  return a.observed_generation() == b.observed_generation() && a.replicas() == b.replicas() &&
         a.updated_replicas() == b.updated_replicas() && a.ready_replicas() == b.ready_replicas() &&
         a.available_replicas() == b.available_replicas() &&
         a.unavailable_replicas() == b.unavailable_replicas() &&
         a.has_terminating_replicas() == b.has_terminating_replicas() &&
         a.terminating_replicas() == b.terminating_replicas() &&
         a.collision_count() == b.collision_count() &&
         same_conditions(a.conditions(), b.conditions());
}

DeploymentPlan Planner::run() {
  bool dying = !d_.metadata().deletion_timestamp().empty();
  if (!dying) {
    check_paused();
    sync_new_set();
    if (d_.spec().paused() || is_scaling_event()) {
      scale_all();
      if (d_.spec().paused()) drop_history();
    } else if (rolling()) {
      roll();
    } else {
      recreate();
    }
  }
  compute_status();
  compute_progress();
  compute_failure();
  plan_.status_changed = !same_status(plan_.status->status(), d_.status());
  if (plan_.revision == d_.metadata().annotations().get(kRevision)) plan_.revision.clear();
  return std::move(plan_);
}

}  // namespace

bool has_progress_deadline(const Deployment& d) {
  return d.spec().has_progress_deadline_seconds() &&
         d.spec().progress_deadline_seconds() != kNoLimit;
}

std::string template_hash(const PodTemplateSpec& pod_template, int64_t collision_count) {
  uint32_t h = fnv1a_32(canonical(pod_template));
  if (collision_count != 0) h = fnv1a_32(std::to_string(collision_count), h);
  static constexpr std::string_view kSafe = "bcdfghjklmnpqrstvwxz2456789";
  std::string out;
  for (char c : std::to_string(h)) out += kSafe[static_cast<uint8_t>(c) % kSafe.size()];
  return out;
}

Ref<ReplicaSet> find_new_replica_set(const Deployment& d,
                                     const std::vector<Ref<ReplicaSet>>& sets) {
  std::string wanted = canonical(d.spec().template_());
  Ref<ReplicaSet> found;
  for (const auto& rs : sets) {
    if (found && !older(rs, found)) continue;
    if (canonical(rs->spec().template_()) == wanted) found = rs;
  }
  return found;
}

namespace {

std::optional<int64_t> revision_wanted(const Deployment& d) {
  std::string_view text = d.metadata().annotations().get(kRollbackTo);
  int64_t n = to_int(text, -1);
  if (n < 0) return std::nullopt;
  return n;
}

// The one before the last; 0 when there is none.
int64_t last_revision(const std::vector<Ref<ReplicaSet>>& sets) {
  int64_t highest = 0, second = 0;
  for (const auto& rs : sets) {
    int64_t n = revision_of(rs);
    if (n >= highest) {
      second = highest;
      highest = n;
    } else {
      second = std::max(second, n);
    }
  }
  return second;
}

// The template of a set again, and the annotations that the Deployment had then.
void take_over(DeploymentEdit d, const ReplicaSet& from) {
  d.edit_spec().set_template_(from.spec().template_());
  auto labels = d.edit_spec().edit_template_().edit_metadata().edit_labels();
  if (labels.contains(kHashLabel)) labels.erase(kHashLabel);
  std::vector<std::string> others;
  for (auto [k, v] : d.metadata().annotations()) {
    if (!skips_copy(k)) others.emplace_back(k);
  }
  auto annotations = d.edit_metadata().edit_annotations();
  for (const auto& k : others) annotations.erase(k);
  for (auto [k, v] : from.metadata().annotations()) {
    if (!skips_copy(k)) annotations.set(k, v);
  }
}

}  // namespace

std::optional<RollbackPlan> plan_rollback(const Deployment& d,
                                          const std::vector<Ref<ReplicaSet>>& sets) {
  auto wanted = revision_wanted(d);
  bool dying = !d.metadata().deletion_timestamp().empty();
  if (!wanted || dying || d.spec().paused() || !find_new_replica_set(d, sets)) return std::nullopt;
  RollbackPlan plan{Draft<DeploymentEdit>(d), "Warning", "DeploymentRollbackRevisionNotFound",
                    "Unable to find the revision to rollback to."};
  plan.update->edit_metadata().edit_annotations().erase(kRollbackTo);
  if (*wanted == 0) {
    wanted = last_revision(sets);
    if (*wanted == 0) {
      plan.message = "Unable to find last revision.";
      return plan;
    }
  }
  const std::string name = "\"" + std::string(d.metadata().name()) + "\"";
  for (const auto& rs : sets) {
    if (revision_of(rs) != *wanted) continue;
    if (canonical(rs->spec().template_()) == canonical(d.spec().template_())) {
      plan.reason = "DeploymentRollbackTemplateUnchanged";
      plan.message =
          "The rollback revision contains the same template as current deployment " + name;
      return plan;
    }
    take_over(*plan.update, *rs);
    plan.type = "Normal";
    plan.reason = "DeploymentRollback";
    plan.message = "Rolled back deployment " + name + " to revision " + std::to_string(*wanted);
    return plan;
  }
  return plan;
}

DeploymentPlan plan_deployment(const Deployment& d, const std::vector<Ref<ReplicaSet>>& sets,
                               bool old_pods_live, WallTime now) {
  return Planner(d, sets, old_pods_live, now).run();
}

}  // namespace keles::controllers
