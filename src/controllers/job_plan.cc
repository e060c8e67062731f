#include <algorithm>
#include <charconv>
#include <map>

#include "base/text_parts.h"
#include "controllers/job.h"
#include "controllers/ownership.h"
#include "controllers/replicas.h"
#include "machinery/time.h"

namespace keles::controllers {

using namespace api::batch_v1;
using namespace api::core_v1;

namespace {

constexpr std::string_view kIndex = "batch.kubernetes.io/job-completion-index";
constexpr std::string_view kFailures = "batch.kubernetes.io/job-index-failure-count";
constexpr std::string_view kIgnored = "batch.kubernetes.io/job-index-ignored-failure-count";
constexpr int kBurst = 500;
constexpr size_t kMaxUncounted = 500;
constexpr Duration kFirstDelay = 10s, kLongestDelay = 10min;  // before a failed pod is made anew

int64_t number_in(const Pod& pod, std::string_view annotation, int64_t otherwise) {
  std::string_view s = pod.metadata().annotations().get(annotation);
  int64_t n = otherwise;
  std::from_chars(s.data(), s.data() + s.size(), n);
  return n;
}

int64_t index_of(const Pod& pod) { return number_in(pod, kIndex, -1); }

// How long after the last of `failures` a new pod may be made.
Duration left_to_wait(int64_t failures, WallTime last, WallTime now) {
  if (failures <= 0 || last == kNone) return Duration(0);
  Duration delay = kFirstDelay;
  for (int64_t i = 1; i < failures && delay < kLongestDelay; ++i) delay *= 2;
  return std::max(Duration(0), last + std::min<Duration>(delay, kLongestDelay) - now);
}

// When the pod's last container ended; its deletion or creation when none says.
WallTime finished_at(const Pod& pod) {
  WallTime latest = kNone;
  for (auto c : pod.status().container_statuses()) {
    latest = std::max(latest, time_or_none(c.state().terminated().finished_at()));
  }
  if (latest == kNone) latest = time_or_none(pod.metadata().deletion_timestamp());
  if (latest == kNone) latest = time_or_none(pod.metadata().creation_timestamp());
  return latest;
}

bool has_exit_code(const PodFailurePolicyOnExitCodesRequirement& wanted, int64_t code) {
  bool among = false;
  for (int64_t v : wanted.values()) among = among || v == code;
  return wanted.operator_() == "In" ? among : wanted.operator_() == "NotIn" && !among;
}

// The first container that ended as the rule says.
ContainerStatus container_that_matches(const Pod& pod,
                                       const PodFailurePolicyOnExitCodesRequirement& wanted) {
  for (const auto& list :
       {pod.status().container_statuses(), pod.status().init_container_statuses()}) {
    for (ContainerStatus c : list) {
      auto ended = c.state().terminated();
      if (!ended || ended.exit_code() == 0) continue;
      if (wanted.has_container_name() && wanted.container_name() != c.name()) continue;
      if (has_exit_code(wanted, ended.exit_code())) return c;
    }
  }
  return {};
}

}  // namespace

FailureMatch match_failure_policy(const Job& job, const Pod& pod) {
  int64_t at = 0;
  std::string name = key_of(pod.metadata());
  for (PodFailurePolicyRule rule : job.spec().pod_failure_policy().rules()) {
    std::string tail =
        " matching " + std::string(rule.action()) + " rule at index " + std::to_string(at++);
    if (rule.has_on_exit_codes()) {
      ContainerStatus c = container_that_matches(pod, rule.on_exit_codes());
      if (!c) continue;
      return {std::string(rule.action()), "Container " + std::string(c.name()) + " for pod " +
                                              name + " failed with exit code " +
                                              std::to_string(c.state().terminated().exit_code()) +
                                              tail};
    }
    for (PodCondition c : pod.status().conditions()) {
      for (auto wanted : rule.on_pod_conditions()) {
        if (c.type() != wanted.type() || c.status() != wanted.status()) continue;
        return {std::string(rule.action()),
                "Pod " + name + " has condition " + std::string(c.type()) + tail};
      }
    }
  }
  return {};
}

std::optional<std::string> match_success_policy(const Job& job, const std::set<int64_t>& done) {
  int64_t at = 0;
  if (done.empty()) return std::nullopt;
  for (SuccessPolicyRule rule : job.spec().success_policy().rules()) {
    std::string told = "Matched rules at index " + std::to_string(at++);
    int64_t enough = rule.has_succeeded_count() ? rule.succeeded_count() : -1;
    int64_t have = static_cast<int64_t>(done.size());
    if (rule.has_succeeded_indexes()) {
      std::set<int64_t> wanted = parse_indexes(rule.succeeded_indexes());
      if (wanted.empty()) continue;
      have =
          std::count_if(wanted.begin(), wanted.end(), [&](int64_t i) { return done.contains(i); });
      if (have == static_cast<int64_t>(wanted.size())) return told;
    }
    if (enough >= 0 && have >= enough) return told;
  }
  return std::nullopt;
}

namespace {

class Planner {
 public:
  Planner(const Job& job, const std::vector<Ref<Pod>>& pods, WallTime now)
      : job_(job), pods_(pods), now_(now) {
    plan_.status = Draft<JobEdit>(job);
  }
  JobPlan run();

 private:
  bool indexed() const { return job_.spec().completion_mode() == "Indexed"; }
  bool is(std::string_view type) const {
    for (JobCondition c : plan_.status->status().conditions()) {
      if (c.type() == type) return c.status() == "True";
    }
    return false;
  }
  // Of an Indexed Job; it may have had more of them (elastic: KEP 3715).
  bool is_index(int64_t i) const { return indexed() && i >= 0 && i < job_.spec().completions(); }
  std::set<int64_t> within(std::set<int64_t> indexes) const {
    if (indexed()) indexes.erase(indexes.lower_bound(job_.spec().completions()), indexes.end());
    return indexes;
  }
  void set(std::string_view type, std::string_view status, std::string_view reason,
           std::string_view message);
  void count();
  void decide();
  void finish(bool complete, std::string reason, std::string message);
  void size();
  int64_t remove_surplus(int64_t at_least);
  bool suspend();
  bool restarts_are_over(int64_t limit) const;
  bool only_replaces_failed() const {
    return job_.spec().pod_replacement_policy() == "Failed" || job_.spec().has_pod_failure_policy();
  }
  bool per_index() const { return indexed() && job_.spec().has_backoff_limit_per_index(); }
  // Counts as failed: one that is on its way out too, unless only ended ones are replaced.
  bool has_failed(const Pod& pod) const;
  bool index_has_failed(const Pod& pod) const;
  void fail_indexes();
  void delay_release();
  void settle_counts();
  bool create_index(int64_t index);

  const Job& job_;
  const std::vector<Ref<Pod>>& pods_;
  WallTime now_;
  JobPlan plan_;
  std::vector<Ref<Pod>> active_;
  std::set<int64_t> done_indexes_, failed_indexes_;
  std::vector<Ref<Pod>> ended_;    // with the finalizer: to be counted, and let go
  std::vector<Ref<Pod>> leaving_;  // on their way out, and not ended
  // Of indexes that wait for their next pod, the last that failed: it keeps its finalizer, and with
  // it the count of failures, until the next one carries that on.
  std::map<int64_t, Ref<Pod>> delayed_;
  std::set<std::string> waiting_good_, waiting_bad_;  // uids counted, their finalizers still on
  bool finishing_ = false;
  int64_t succeeded_ = 0, failed_ = 0, ready_ = 0, terminating_ = 0;
  WallTime last_failure_ = kNone;
};

void Planner::set(std::string_view type, std::string_view status, std::string_view reason,
                  std::string_view message) {
  auto list = plan_.status->edit_status().edit_conditions();
  std::string when = format_time(now_);
  for (size_t i = 0; i < list.size(); ++i) {
    if (list[i].type() != type) continue;
    if (list[i].status() == status && list[i].reason() == reason) return;
    list.erase_at(i);
    break;
  }
  auto c = list.add();
  c.set_type(type);
  c.set_status(status);
  c.set_last_probe_time(when);
  c.set_last_transition_time(when);
  c.set_reason(reason);
  c.set_message(message);
  plan_.status_changed = true;
}

bool Planner::has_failed(const Pod& pod) const {
  if (pod.status().phase() == "Failed") return true;
  if (only_replaces_failed()) return false;
  return !pod.metadata().deletion_timestamp().empty() && pod.status().phase() != "Succeeded";
}

bool Planner::index_has_failed(const Pod& pod) const {
  FailureMatch m = match_failure_policy(job_, pod);
  if (m.action == "FailIndex") return true;
  if (m.action == "Ignore") return false;
  return number_in(pod, kFailures, 0) >= job_.spec().backoff_limit_per_index();
}

// Brings the numbers level with the pods.
void Planner::count() {
  std::set<std::string> holding;  // uids of pods that still carry the finalizer
  for (const auto& p : pods_) {
    if (is_tracked(*p)) holding.insert(std::string(p->metadata().uid()));
  }
  auto old = job_.status().uncounted_terminated_pods();
  succeeded_ = job_.status().succeeded();
  failed_ = job_.status().failed();
  auto settle = [&](const List<std::string_view>& uids, std::set<std::string>& waiting,
                    int64_t& total) {
    for (std::string_view uid : uids) {
      if (holding.contains(std::string(uid))) {
        waiting.insert(std::string(uid));
      } else {
        ++total;
      }
    }
  };
  settle(old.succeeded(), waiting_good_, succeeded_);
  settle(old.failed(), waiting_bad_, failed_);
  auto s = plan_.status->edit_status();
  s.set_succeeded(succeeded_);
  s.set_failed(failed_);
  succeeded_ += static_cast<int64_t>(waiting_good_.size());
  failed_ += static_cast<int64_t>(waiting_bad_.size());
  done_indexes_ = within(parse_indexes(job_.status().completed_indexes()));
  for (const auto& p : pods_) {
    std::string uid(p->metadata().uid());
    std::string_view phase = p->status().phase();
    if (phase == "Failed") last_failure_ = std::max(last_failure_, finished_at(*p));
    bool ended = phase == "Succeeded" || phase == "Failed";
    bool leaving = !p->metadata().deletion_timestamp().empty();
    if (!ended && !leaving) {
      active_.push_back(p);
      ready_ += pod_is_ready(*p) ? 1 : 0;
      continue;
    }
    if (!ended) {
      ++terminating_;
      leaving_.push_back(p);
    }
    if (!is_tracked(*p) || (!ended && !has_failed(*p))) continue;
    ended_.push_back(p);
    if (phase == "Succeeded" && is_index(index_of(*p))) done_indexes_.insert(index_of(*p));
    if (waiting_good_.contains(uid) || waiting_bad_.contains(uid)) continue;
    if (phase == "Succeeded") {
      ++succeeded_;
    } else if (match_failure_policy(job_, *p).action != "Ignore") {
      ++failed_;
    }
  }
  if (indexed()) succeeded_ = static_cast<int64_t>(done_indexes_.size());
  fail_indexes();
}

// KEP 3850: indexes that have failed once too often, or for good.
void Planner::fail_indexes() {
  if (!per_index()) return;
  failed_indexes_ = within(parse_indexes(job_.status().failed_indexes()));
  for (const auto& p : ended_) {
    int64_t i = index_of(*p);
    if (is_index(i) && has_failed(*p) && index_has_failed(*p)) failed_indexes_.insert(i);
  }
}

void Planner::delay_release() {
  if (!per_index()) return;
  std::set<int64_t> busy;
  for (const auto& p : active_) busy.insert(index_of(*p));
  auto failures = [](const Pod& p) {
    return number_in(p, kFailures, 0) + number_in(p, kIgnored, 0);
  };
  for (const auto& p : ended_) {
    int64_t i = index_of(*p);
    if (!has_failed(*p) || i < 0 || busy.contains(i)) continue;
    if (done_indexes_.contains(i) || failed_indexes_.contains(i)) continue;
    Ref<Pod>& last = delayed_[i];
    bool later =
        !last || (failures(*last) <= failures(*p) && finished_at(*last) <= finished_at(*p));
    if (later) last = p;
  }
}

// What has ended goes into the status; then its finalizer may go.
void Planner::settle_counts() {
  for (const auto& p : ended_) {
    std::string uid(p->metadata().uid());
    auto delayed = delayed_.find(index_of(*p));
    bool waits =
        !finishing_ && delayed != delayed_.end() && delayed->second->metadata().uid() == uid;
    if (waits) {
      plan_.kept.push_back(p);
      continue;
    }
    bool known = waiting_good_.contains(uid) || waiting_bad_.contains(uid);
    if (!known && waiting_good_.size() + waiting_bad_.size() >= kMaxUncounted) continue;
    plan_.counted.push_back(p);
    if (known) continue;
    if (p->status().phase() == "Succeeded") {
      waiting_good_.insert(uid);
      continue;
    }
    const std::string action = match_failure_policy(job_, *p).action;
    if (!action.empty()) ++plan_.policy_matches[action];
    if (action != "Ignore") waiting_bad_.insert(uid);
  }
  auto s = plan_.status->edit_status();
  auto uncounted = s.edit_uncounted_terminated_pods();
  uncounted.edit_succeeded().clear();
  uncounted.edit_failed().clear();
  for (const auto& uid : waiting_good_) uncounted.edit_succeeded().add(std::string_view(uid));
  for (const auto& uid : waiting_bad_) uncounted.edit_failed().add(std::string_view(uid));
  if (indexed()) {
    s.set_succeeded(static_cast<int64_t>(done_indexes_.size()));
    s.set_completed_indexes(format_indexes(done_indexes_));
  }
  if (per_index()) s.set_failed_indexes(format_indexes(failed_indexes_));
}

void Planner::finish(bool complete, std::string reason, std::string message) {
  plan_.remove = active_;
  finishing_ = true;
  set(complete ? "SuccessCriteriaMet" : "FailureTarget", "True", reason, message);
  // Once its pods have ended, and each has been counted and let go.
  if (!active_.empty() || terminating_ > 0) return;
  if (!ended_.empty() || !waiting_good_.empty() || !waiting_bad_.empty()) return;
  set(complete ? "Complete" : "Failed", "True", reason, message);
  if (complete) plan_.status->edit_status().set_completion_time(format_time(now_));
  plan_.event_type = complete ? "Normal" : "Warning";
  plan_.event_reason = complete ? "Completed" : reason;
  plan_.event_message = complete ? "Job completed" : message;
}

// Of two with one number the less valuable goes, and so does one whose number is none or is done;
// then as many of the others, the least valuable first, as make up `at_least`. How many go.
int64_t Planner::remove_surplus(int64_t at_least) {
  std::vector<Ref<Pod>> ranked = active_, left;
  if (at_least > 0 || indexed()) rank_for_deletion(ranked, {}, now_);
  if (indexed()) {
    std::set<int64_t> seen;
    for (auto it = ranked.rbegin(); it != ranked.rend(); ++it) {
      int64_t i = index_of(**it);
      bool over = !is_index(i) || done_indexes_.contains(i) || failed_indexes_.contains(i);
      (over || !seen.insert(i).second ? plan_.remove : left).push_back(*it);
    }
    ranked.assign(left.rbegin(), left.rend());
  }
  for (size_t i = 0; i < ranked.size(); ++i) {
    if (static_cast<int64_t>(plan_.remove.size()) >= at_least) break;
    plan_.remove.push_back(ranked[i]);
  }
  return static_cast<int64_t>(plan_.remove.size());
}

// How many pods are to run, and which.
void Planner::size() {
  auto spec = job_.spec();
  int64_t parallelism = spec.has_parallelism() ? spec.parallelism() : 1;
  int64_t active = static_cast<int64_t>(active_.size());
  int64_t wanted = parallelism;
  if (spec.has_completions()) {
    wanted = std::min(parallelism, spec.completions() - succeeded_);
  } else if (succeeded_ > 0) {
    wanted = std::min(active, parallelism);  // a work queue that is done takes nobody on
  }
  wanted = std::max<int64_t>(wanted, 0);
  active -= remove_surplus(active - wanted);
  int64_t missing = std::min<int64_t>(wanted - active, kBurst);
  if (only_replaces_failed()) missing -= terminating_;
  if (missing <= 0) return;
  if (!per_index()) plan_.requeue_after = left_to_wait(failed_, last_failure_, now_);
  if (plan_.requeue_after > Duration(0)) return;
  std::set<int64_t> taken = done_indexes_;
  taken.insert(failed_indexes_.begin(), failed_indexes_.end());
  for (const auto& p : active_) taken.insert(index_of(*p));
  if (only_replaces_failed()) {
    for (const auto& p : leaving_) taken.insert(index_of(*p));
  }
  int64_t next = 0;
  while (missing > 0) {
    if (!indexed()) {
      plan_.create.push_back({-1});
      --missing;
      continue;
    }
    while (taken.contains(next)) ++next;
    if (next >= spec.completions()) break;
    taken.insert(next);
    if (create_index(next)) --missing;
  }
}

// With the failures of the pods before it; false while it has to wait after the last of them.
bool Planner::create_index(int64_t index) {
  JobPod pod{index};
  if (per_index()) {
    pod.failures = 0;
    auto last = delayed_.find(index);
    if (last != delayed_.end()) {
      const Pod& p = *last->second;
      pod.failures = number_in(p, kFailures, 0);
      pod.ignored = number_in(p, kIgnored, 0);
      Duration left = left_to_wait(pod.failures + pod.ignored + 1, finished_at(p), now_);
      if (left > Duration(0)) {
        bool sooner = plan_.requeue_after == Duration(0) || left < plan_.requeue_after;
        if (sooner) plan_.requeue_after = left;
        return false;
      }
      ++(match_failure_policy(job_, p).action == "Ignore" ? pod.ignored : pod.failures);
    }
  }
  plan_.create.push_back(pod);
  return true;
}

// Whether it is; and what there is to tell when that has changed.
bool Planner::suspend() {
  const bool was = is("Suspended"), now = job_.spec().suspend();
  if (now) plan_.remove = active_;
  if (was == now) return now;
  auto status = plan_.status->edit_status();
  set("Suspended", now ? "True" : "False", now ? "JobSuspended" : "JobResumed",
      now ? "Job suspended" : "Job resumed");
  if (now) {
    status.clear_start_time();
  } else {  // the time that it may be active begins anew
    status.set_start_time(format_time(now_));
    if (job_.spec().has_active_deadline_seconds()) {
      plan_.requeue_after = std::chrono::seconds(job_.spec().active_deadline_seconds());
    }
  }
  plan_.event_type = "Normal";
  plan_.event_reason = now ? "Suspended" : "Resumed";
  plan_.event_message = now ? "Job suspended" : "Job resumed";
  return now;
}

// Of pods that start their containers again themselves, those starts are the failures.
bool Planner::restarts_are_over(int64_t limit) const {
  if (job_.spec().template_().spec().restart_policy() != "OnFailure") return false;
  int64_t restarts = 0;
  for (const auto& p : active_) {
    for (auto c : p->status().init_container_statuses()) restarts += c.restart_count();
    for (auto c : p->status().container_statuses()) restarts += c.restart_count();
  }
  return limit == 0 ? restarts > 0 : restarts >= limit;
}

void Planner::decide() {
  auto spec = job_.spec();
  auto status = plan_.status->edit_status();
  int64_t limit = spec.has_backoff_limit() ? spec.backoff_limit() : 6;
  if (status.start_time().empty() && !spec.suspend()) {
    status.set_start_time(format_time(now_));
    plan_.status_changed = true;
  }
  for (JobCondition c : job_.status().conditions()) {  // decided already
    bool complete = c.type() == "SuccessCriteriaMet", over = c.type() == "FailureTarget";
    if ((!complete && !over) || c.status() != "True") continue;
    finish(complete, std::string(c.reason()), std::string(c.message()));
    return;
  }
  for (const auto& p : pods_) {
    if (!has_failed(*p)) continue;
    FailureMatch m = match_failure_policy(job_, *p);
    if (m.action != "FailJob") continue;
    finish(false, "PodFailurePolicy", m.message);
    return;
  }
  if (failed_ > limit || restarts_are_over(limit)) {
    finish(false, "BackoffLimitExceeded", "Job has reached the specified backoff limit");
    return;
  }
  // While it is suspended no time passes, nor before it has been told that it is not any more.
  if (spec.has_active_deadline_seconds() && !spec.suspend() && !is("Suspended")) {
    WallTime started = time_or_none(status.start_time());
    Duration left = started + std::chrono::seconds(spec.active_deadline_seconds()) - now_;
    if (left <= Duration(0)) {
      finish(false, "DeadlineExceeded", "Job was active longer than specified deadline");
      return;
    }
    plan_.requeue_after = left;
  }
  if (per_index()) {
    int64_t failed = static_cast<int64_t>(failed_indexes_.size());
    if (spec.has_max_failed_indexes() && failed > spec.max_failed_indexes()) {
      finish(false, "MaxFailedIndexesExceeded",
             "Job has exceeded the specified maximal number of failed indexes");
      return;
    }
    if (failed > 0 && failed + succeeded_ >= spec.completions()) {
      finish(false, "FailedIndexes", "Job has failed indexes");
      return;
    }
  }
  if (indexed()) {
    if (auto told = match_success_policy(job_, done_indexes_)) {
      finish(true, "SuccessPolicy", *told);
      return;
    }
  }
  bool complete =
      spec.has_completions() ? succeeded_ >= spec.completions() : succeeded_ > 0 && active_.empty();
  if (complete) {
    finish(true, "CompletionsReached", "Reached expected number of succeeded pods");
    return;
  }
  if (suspend()) return;
  Duration deadline = plan_.requeue_after;
  size();
  if (plan_.requeue_after == Duration(0) ||
      (deadline > Duration(0) && deadline < plan_.requeue_after)) {
    plan_.requeue_after = deadline;
  }
}

JobPlan Planner::run() {
  count();
  delay_release();
  bool finished = is("Complete") || is("Failed");
  bool dying = !job_.metadata().deletion_timestamp().empty();
  finishing_ = finished || dying;
  if (finished) {
    plan_.remove = active_;
  } else if (!dying) {
    decide();
  }
  settle_counts();
  auto s = plan_.status->edit_status();
  int64_t active = static_cast<int64_t>(active_.size());
  s.set_active(active);
  s.set_ready(ready_);
  s.set_terminating(terminating_);
  auto old = job_.status();
  auto fresh = plan_.status->status();
  plan_.status_changed = plan_.status_changed || old.active() != active || old.ready() != ready_ ||
                         old.terminating() != terminating_ ||
                         old.succeeded() != fresh.succeeded() || old.failed() != fresh.failed() ||
                         old.completed_indexes() != fresh.completed_indexes() ||
                         old.failed_indexes() != fresh.failed_indexes() ||
                         old.has_failed_indexes() != fresh.has_failed_indexes() ||
                         old.uncounted_terminated_pods().succeeded().size() !=
                             fresh.uncounted_terminated_pods().succeeded().size() ||
                         old.uncounted_terminated_pods().failed().size() !=
                             fresh.uncounted_terminated_pods().failed().size();
  return std::move(plan_);
}

}  // namespace

std::set<int64_t> parse_indexes(std::string_view text) {
  std::set<int64_t> out;
  for (std::string_view part : split_list(text)) {
    int64_t first = 0, last = 0;
    auto [at, error] = std::from_chars(part.data(), part.data() + part.size(), first);
    if (error != std::errc()) continue;
    last = first;
    if (at != part.data() + part.size()) std::from_chars(at + 1, part.data() + part.size(), last);
    for (int64_t i = first; i <= last && out.size() < 1'000'000; ++i) out.insert(i);
  }
  return out;
}

std::string format_indexes(const std::set<int64_t>& indexes) {
  std::string out;
  for (auto it = indexes.begin(); it != indexes.end();) {
    int64_t first = *it, last = first;
    while (++it != indexes.end() && *it == last + 1) last = *it;
    if (!out.empty()) out += ',';
    out += std::to_string(first);
    if (last == first) continue;
    out += (last == first + 1 ? "," : "-") + std::to_string(last);
  }
  return out;
}

JobPlan plan_job(const Job& job, const std::vector<Ref<Pod>>& pods, WallTime now) {
  return Planner(job, pods, now).run();
}

}  // namespace keles::controllers
