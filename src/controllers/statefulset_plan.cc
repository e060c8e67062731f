// The pure half of the StatefulSet controller.
#include <algorithm>
#include <charconv>
#include <map>

#include "controllers/statefulset.h"

namespace keles::controllers {

using namespace api::apps_v1;
using namespace api::core_v1;

namespace {

constexpr std::string_view kPodName = "statefulset.kubernetes.io/pod-name";
constexpr std::string_view kPodIndex = "apps.kubernetes.io/pod-index";

std::string pod_name(const StatefulSet& set, int64_t ordinal) {
  return std::string(set.metadata().name()) + "-" + std::to_string(ordinal);
}

std::string_view revision_of(const Pod& pod) {
  return pod.metadata().labels().get(kRevisionHashLabel);
}

bool is_leaving(const Pod& pod) { return !pod.metadata().deletion_timestamp().empty(); }

int64_t size_of(const StatefulSet& set) {
  return set.spec().has_replicas() ? set.spec().replicas() : 1;
}

// The range of its numbers.
int64_t start_of(const StatefulSet& set) { return set.spec().ordinals().start(); }
bool in_range(const StatefulSet& set, int64_t n) {
  return n >= start_of(set) && n < start_of(set) + size_of(set);
}

// The pod's volumes are those of the set's claims, and all others that it has.
void put_volumes(PodSpecEdit spec, const StatefulSet& set, int64_t ordinal) {
  for (PersistentVolumeClaim claim : set.spec().volume_claim_templates()) {
    auto volumes = spec.edit_volumes();
    for (size_t i = 0; i < volumes.size();) {
      if (volumes[i].name() == claim.metadata().name()) {
        volumes.erase_at(i);
      } else {
        ++i;
      }
    }
    auto v = volumes.add();
    v.set_name(claim.metadata().name());
    v.edit_persistent_volume_claim().set_claim_name(stateful_claim_name(set, claim, ordinal));
  }
}

void put_identity(api::meta_v1::ObjectMetaEdit meta, const StatefulSet& set, int64_t ordinal) {
  meta.edit_labels().set(kPodName, pod_name(set, ordinal));
  meta.edit_labels().set(kPodIndex, std::to_string(ordinal));
}

bool has_identity(const StatefulSet& set, const Pod& pod, int64_t ordinal) {
  return pod.metadata().labels().get(kPodName) == pod_name(set, ordinal);
}

bool has_volumes(const StatefulSet& set, const Pod& pod, int64_t ordinal) {
  for (PersistentVolumeClaim claim : set.spec().volume_claim_templates()) {
    bool found = false;
    for (Volume v : pod.spec().volumes()) {
      found = found ||
              (v.name() == claim.metadata().name() && v.persistent_volume_claim().claim_name() ==
                                                          stateful_claim_name(set, claim, ordinal));
    }
    if (!found) return false;
  }
  return true;
}

}  // namespace

int64_t ordinal_of(std::string_view set, std::string_view pod) {
  if (pod.size() <= set.size() + 1 || !pod.starts_with(set) || pod[set.size()] != '-') return -1;
  std::string_view digits = pod.substr(set.size() + 1);
  if (digits[0] == '0' && digits.size() > 1) return -1;
  int32_t n = -1;
  auto [at, error] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
  return error == std::errc() && at == digits.data() + digits.size() ? n : -1;
}

std::vector<std::pair<std::string_view, std::string_view>> claim_name_readings(
    std::string_view claim) {
  std::vector<std::pair<std::string_view, std::string_view>> out;
  const size_t last = claim.rfind('-');
  if (last == std::string_view::npos) return out;
  std::string_view rest = claim.substr(0, last);
  for (size_t dash = rest.find('-'); dash != std::string_view::npos;
       dash = rest.find('-', dash + 1)) {
    out.emplace_back(rest.substr(0, dash), rest.substr(dash + 1));
  }
  return out;
}

bool has_claim_template(const StatefulSet& set, std::string_view name) {
  for (PersistentVolumeClaim from : set.spec().volume_claim_templates()) {
    if (from.metadata().name() == name) return true;
  }
  return false;
}

std::string stateful_claim_name(const StatefulSet& set, const PersistentVolumeClaim& from,
                                int64_t ordinal) {
  return std::string(from.metadata().name()) + "-" + pod_name(set, ordinal);
}

Draft<PersistentVolumeClaimEdit> stateful_claim(const StatefulSet& set,
                                                const PersistentVolumeClaim& from,
                                                int64_t ordinal) {
  Draft<PersistentVolumeClaimEdit> d(from);
  d->clear_status();
  auto meta = d->edit_metadata();
  meta.set_namespace_(set.metadata().namespace_());
  meta.set_name(stateful_claim_name(set, from, ordinal));
  for (auto [k, v] : set.spec().selector().match_labels()) meta.edit_labels().set(k, v);
  return d;
}

Draft<PodEdit> stateful_pod(const StatefulSet& set, int64_t ordinal, const std::string& revision) {
  auto pod = pod_from_template(set.spec().template_(), kind_of<StatefulSet>(), set.metadata());
  auto meta = pod->edit_metadata();
  meta.set_name(pod_name(set, ordinal));
  meta.clear_generate_name();
  put_identity(meta, set, ordinal);
  meta.edit_labels().set(kRevisionHashLabel, revision);
  auto spec = pod->edit_spec();
  spec.set_hostname(pod_name(set, ordinal));
  if (!set.spec().service_name().empty()) spec.set_subdomain(set.spec().service_name());
  put_volumes(spec, set, ordinal);
  return pod;
}

Ref<StatefulSet> stateful_set_as_of(const Ref<StatefulSet>& set,
                                    const ControllerRevision& revision) {
  const Value& then = revision.data()["spec"]["template"];
  if (!then.is_map()) return set;
  Draft<StatefulSetEdit> d(*set);
  d->edit_spec().set_template_(PodTemplateSpec(then));
  Document doc = d.take();
  doc.root.find("spec")->find("template")->erase("$patch");
  return Ref<StatefulSet>(std::make_shared<const Document>(std::move(doc)));
}

// --- whom claims belong to ---

namespace {

// One of the two that may own a claim.
struct Keeper {
  const KindDesc& kind;
  api::meta_v1::ObjectMeta meta;
  bool names(const api::meta_v1::OwnerReference& r) const {
    return r.api_version() == kind.api_version() && r.kind() == kind.kind &&
           r.name() == meta.name();
  }
  bool is(const api::meta_v1::OwnerReference& r) const { return r.uid() == meta.uid(); }
};

bool owned_by(const PersistentVolumeClaim& claim, const Keeper& who) {
  for (auto r : claim.metadata().owner_references()) {
    if (who.is(r)) return true;
  }
  return false;
}

// It belongs to one of that name that was there before.
bool is_stale(const PersistentVolumeClaim& claim, const Keeper& who) {
  for (auto r : claim.metadata().owner_references()) {
    if (who.names(r)) return !who.is(r);
  }
  return false;
}

}  // namespace

std::optional<StatefulSetPlan::Owners> plan_claim_owners(const StatefulSet& set, const Pod& pod,
                                                         const PersistentVolumeClaim& claim) {
  const Keeper the_set{kind_of<StatefulSet>(), set.metadata()};
  const Keeper the_pod{kind_of<Pod>(), pod.metadata()};
  if (is_stale(claim, the_set) || is_stale(claim, the_pod)) return std::nullopt;
  auto policy = set.spec().persistent_volume_claim_retention_policy();
  const bool with_set = policy.when_deleted() == "Delete";
  const bool with_pod = policy.when_scaled() == "Delete";
  const bool beyond = !in_range(set, ordinal_of(set.metadata().name(), pod.metadata().name()));
  const bool pod_owns = with_pod && beyond;
  const bool set_owns = with_set && !pod_owns;
  bool conflict = false, half = false;
  for (auto r : claim.metadata().owner_references()) {
    const bool ours = the_set.is(r) || the_pod.is(r);
    half = half || (ours && !r.controller());
    conflict = conflict || (!ours && r.controller() && (with_set || with_pod));
  }
  const bool has_set = owned_by(claim, the_set), has_pod = owned_by(claim, the_pod);
  if (conflict ? !has_set && !has_pod : !half && has_set == set_owns && has_pod == pod_owns) {
    return std::nullopt;
  }
  StatefulSetPlan::Owners out{Draft<PersistentVolumeClaimEdit>(claim), conflict};
  auto meta = out.claim->edit_metadata();
  auto refs = meta.edit_owner_references();
  for (size_t i = 0; i < refs.size();) {
    if (the_set.names(refs[i]) || the_pod.names(refs[i])) {
      refs.erase_at(i);
    } else {
      ++i;
    }
  }
  if (conflict) return out;
  if (set_owns) set_controller_reference(meta, the_set.kind, the_set.meta);
  if (pod_owns) set_controller_reference(meta, the_pod.kind, the_pod.meta);
  return out;
}

// --- the plan ---

namespace {

class Planner {
 public:
  explicit Planner(const StatefulSetView& view) : view_(view), set_(view.set) {
    for (const auto& p : view.pods) {
      int64_t n = ordinal_of(set_.metadata().name(), p->metadata().name());
      if (n < 0) continue;
      (in_range(set_, n) ? members_ : condemned_)[n] = p;
    }
  }
  StatefulSetPlan run();

 private:
  bool parallel() const { return set_.spec().pod_management_policy() == "Parallel"; }
  bool rolling() const { return set_.spec().update_strategy().type() != "OnDelete"; }
  int64_t partition() const { return set_.spec().update_strategy().rolling_update().partition(); }
  bool available(const Pod& p) const {
    return pod_is_available(p, set_.spec().min_ready_seconds(), view_.now);
  }
  bool serves(const Pod& p) const { return !is_leaving(p) && available(p); }
  bool running_and_ready(const Pod& p) const {
    return p.status().phase() == "Running" && pod_is_ready(p);
  }
  bool as_it_was(int64_t n) const;
  bool claim_is_stale(int64_t n) const;
  void count();
  void keep_owners(const Pod& pod, int64_t n);
  bool keep_member(int64_t n);
  void fill();
  void shrink();
  void update();
  void update_one_by_one();
  void update_several(int64_t at_most);
  void remove(const Ref<Pod>& pod, bool for_update);

  const StatefulSetView& view_;
  const StatefulSet& set_;
  std::map<int64_t, Ref<Pod>> members_, condemned_;
  bool halted_ = false;  // what comes later waits for what was done, or is not ready
  StatefulSetPlan plan_;
};

void Planner::count() {
  for (const auto* some : {&members_, &condemned_}) {
    for (const auto& [n, p] : *some) {
      if (p->status().phase().empty()) continue;
      ++plan_.replicas;
      if (running_and_ready(*p)) {
        ++plan_.ready;
        plan_.available += available(*p) ? 1 : 0;
      }
      if (is_leaving(*p)) continue;
      plan_.current += revision_of(*p) == view_.current_revision ? 1 : 0;
      plan_.updated += revision_of(*p) == view_.update_revision ? 1 : 0;
    }
  }
}

// A pod made anew is as it was below the partition; without one, while the old ones are counted.
bool Planner::as_it_was(int64_t n) const {
  auto how = set_.spec().update_strategy();
  int64_t old = how.rolling_update() ? how.rolling_update().partition()
                : rolling()          ? set_.status().current_replicas()
                                     : 0;
  return n < start_of(set_) + old;
}

// It is the last pod's of that number, and goes with it: the next one must not have it.
bool Planner::claim_is_stale(int64_t n) const {
  if (set_.spec().persistent_volume_claim_retention_policy().when_scaled() != "Delete") {
    return false;
  }
  const std::string name = pod_name(set_, n);
  for (PersistentVolumeClaim from : set_.spec().volume_claim_templates()) {
    auto claim = view_.claim(stateful_claim_name(set_, from, n));
    if (!claim) continue;
    for (auto r : claim->metadata().owner_references()) {
      if (r.api_version() == "v1" && r.kind() == "Pod" && r.name() == name) return true;
    }
  }
  return false;
}

void Planner::keep_owners(const Pod& pod, int64_t n) {
  for (PersistentVolumeClaim from : set_.spec().volume_claim_templates()) {
    auto claim = view_.claim(stateful_claim_name(set_, from, n));
    if (!claim) continue;
    if (auto owners = plan_claim_owners(set_, pod, *claim)) {
      plan_.owners.push_back(std::move(*owners));
    }
  }
}

void Planner::remove(const Ref<Pod>& pod, bool for_update) {
  for (const auto& p : plan_.remove) {
    if (p->metadata().uid() == pod->metadata().uid()) return;
  }
  plan_.remove.push_back(pod);
  if (for_update) --plan_.current;
}

// Whether the next number's turn has come.
bool Planner::keep_member(int64_t n) {
  auto it = members_.find(n);
  if (it == members_.end()) {
    if (!claim_is_stale(n)) plan_.create.push_back({n, as_it_was(n)});
    return false;
  }
  const Ref<Pod>& p = it->second;
  if (pod_has_finished(*p)) {
    if (!is_leaving(*p)) remove(p, false);
    return false;
  }
  if (p->status().phase() == "Pending") {
    bool lacks = false;
    for (PersistentVolumeClaim from : set_.spec().volume_claim_templates()) {
      lacks = lacks || !view_.claim(stateful_claim_name(set_, from, n));
    }
    if (lacks) plan_.lack_claims.push_back(p);
    keep_owners(*p, n);
  }
  const bool fit = running_and_ready(*p) && serves(*p);
  if (!fit && !parallel()) return false;
  if (p->status().phase() != "Pending") keep_owners(*p, n);
  if (!has_identity(set_, *p, n) || !has_volumes(set_, *p, n)) {
    Draft<PodEdit> d(*p);
    put_identity(d->edit_metadata(), set_, n);
    if (!has_volumes(set_, *p, n)) put_volumes(d->edit_spec(), set_, n);
    plan_.mend.push_back(std::move(d));
  }
  return true;
}

// Upwards: every number has its pod, each only after those before it serve.
void Planner::fill() {
  for (int64_t n = start_of(set_); n < start_of(set_) + size_of(set_); ++n) {
    if (keep_member(n) || parallel()) continue;
    halted_ = true;
    return;
  }
}

// Downwards: what is beyond the size goes, the highest first, one at a time; and none but the
// lowest that does not serve may go while it does not.
void Planner::shrink() {
  Ref<Pod> lowest_unfit;
  for (const auto& [n, p] : condemned_) {
    keep_owners(*p, n);
    if (!lowest_unfit && !serves(*p)) lowest_unfit = p;
  }
  for (auto it = condemned_.rbegin(); it != condemned_.rend(); ++it) {
    const Ref<Pod>& p = it->second;
    if (!parallel()) halted_ = true;
    if (!is_leaving(*p)) {
      const bool fit = running_and_ready(*p) && serves(*p);
      const bool may_go =
          fit || !lowest_unfit || p->metadata().uid() == lowest_unfit->metadata().uid();
      if (parallel() || may_go) remove(p, false);
    }
    if (halted_) return;
  }
}

// Old ones are replaced from the highest down to the partition, one at a time.
void Planner::update_one_by_one() {
  for (int64_t n = start_of(set_) + size_of(set_) - 1; n >= start_of(set_) + partition(); --n) {
    auto it = members_.find(n);
    if (it == members_.end()) return;
    if (revision_of(*it->second) != view_.update_revision && !is_leaving(*it->second)) {
      return remove(it->second, true);
    }
    if (!serves(*it->second)) return;
  }
}

// As many as may be away at once, those that are so already counted in.
void Planner::update_several(int64_t at_most) {
  int64_t away = plan_.away;
  for (int64_t n = start_of(set_) + size_of(set_) - 1; n >= start_of(set_) + partition(); --n) {
    if (away >= at_most) return;
    auto it = members_.find(n);
    if (it == members_.end() || is_leaving(*it->second)) continue;
    if (revision_of(*it->second) == view_.update_revision) continue;
    remove(it->second, true);
    ++away;
  }
}

void Planner::update() {
  const Value& wanted = set_.spec().update_strategy().rolling_update().max_unavailable();
  int64_t at_most = std::max<int64_t>(1, scaled_value(wanted, size_of(set_), false, 1));
  plan_.may_be_away = at_most;
  plan_.away = size_of(set_);
  for (const auto& [n, p] : members_) plan_.away -= serves(*p) ? 1 : 0;
  if (at_most == 1) return update_one_by_one();
  update_several(at_most);
}

StatefulSetPlan Planner::run() {
  count();
  if (set_.metadata().deletion_timestamp().empty()) {
    fill();
    if (!halted_) shrink();
    if (!halted_ && rolling()) update();
  }
  const int64_t n = size_of(set_);
  plan_.rolled_out = rolling() && plan_.updated == n && plan_.ready == n && plan_.replicas == n;
  if (plan_.rolled_out) plan_.current = plan_.updated;
  return std::move(plan_);
}

}  // namespace

StatefulSetPlan plan_stateful_set(const StatefulSetView& view) { return Planner(view).run(); }

}  // namespace keles::controllers
