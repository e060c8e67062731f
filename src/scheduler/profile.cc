#include "scheduler/profile.h"

#include <algorithm>

namespace keles::scheduler {

Profile::Profile(std::string scheduler_name, std::vector<std::unique_ptr<Plugin>> plugins,
                 const std::vector<Stand>& stands)
    : name_(std::move(scheduler_name)), plugins_(std::move(plugins)) {
  for (const Stand& s : stands) {
    for (uint32_t bit = 1; bit <= kPostBind; bit <<= 1)
      if (s.points & bit) by_point_[bit].push_back(s.plugin);
    if (s.points & kScore) score_.emplace_back(s.plugin, s.weight);
    if (s.points & kPreScore) pre_scores_.insert(s.plugin);
  }
  pre_filter_ = at(kPreFilter);
  filter_ = at(kFilter);
}

const std::vector<Plugin*>& Profile::at(Point point) const {
  static const std::vector<Plugin*> none;
  auto it = by_point_.find(point);
  return it == by_point_.end() ? none : it->second;
}

void Profile::measure(Loop& loop, meters::OfProfile& into) {
  loop_ = &loop;
  meters_ = &into;
}

Profile::Timed::Timed(const Profile& of, std::string_view point) : of_(of), point_(point) {
  if (of_.loop_) since_ = of_.loop_->now();
}

Profile::Timed::~Timed() {
  if (!of_.loop_) return;
  const double seconds = static_cast<double>((of_.loop_->now() - since_).count()) / 1e9;
  of_.meters_->point(point_, code_name(code_), seconds);
}

bool Profile::has(Point point) const { return !at(point).empty(); }

Verdict Profile::pre_enqueue(const PodInfo& pod, Plugin** by) {
  for (Plugin* p : at(kPreEnqueue)) {
    Verdict v = p->pre_enqueue(pod);
    if (v.ok()) continue;
    *by = p;
    return v;
  }
  return {};
}

Profile::Prepared Profile::pre_filter(Cycle& cycle) {
  Timed timed(*this, "PreFilter");
  Prepared out = ask_pre_filters(cycle);
  timed.ended(out.verdict.code);
  return out;
}

Profile::Prepared Profile::ask_pre_filters(Cycle& cycle) {
  Prepared out;
  const PodInfo& pod = *cycle.pod;
  std::vector<Plugin*> skipped;
  for (Plugin* p : pre_filter_) {
    PreFilter r = p->pre_filter(cycle, pod);
    if (r.verdict.code == Code::kSkip) {
      skipped.push_back(p);
      continue;
    }
    if (!r.verdict.ok()) {
      const bool go_on = r.verdict.code == Code::kUnschedulable;
      out.verdict = std::move(r.verdict);
      out.by = p;
      if (!go_on) return out;
      continue;  // preemption may help, and needs what the others work out
    }
    if (!r.nodes) continue;
    out.narrowed.push_back(p);
    if (!out.nodes) {
      out.nodes = std::move(r.nodes);
    } else {
      std::erase_if(*out.nodes, [&](const std::string& n) { return !r.nodes->contains(n); });
    }
    if (out.nodes->empty()) {
      std::string names;
      for (Plugin* by : out.narrowed) names += (names.empty() ? "" : " ") + std::string(by->name());
      out.verdict =
          Verdict::unresolvable("node(s) didn't satisfy plugin(s) [" + names + "] simultaneously");
      if (out.narrowed.size() == 1)
        out.verdict = Verdict::unresolvable("node(s) didn't satisfy plugin " + names);
      return out;
    }
  }
  cycle.filters.clear();
  cycle.filters.reserve(filter_.size());
  for (Plugin* p : filter_) {
    if (std::find(skipped.begin(), skipped.end(), p) == skipped.end()) cycle.filters.push_back(p);
  }
  return out;
}

Verdict Profile::run_filters(Cycle& cycle, const NodeInfo& node, Plugin** by) {
  for (Plugin* p : cycle.filters) {
    Verdict v = p->filter(cycle, *cycle.pod, node);
    if (v.ok()) continue;
    *by = p;
    return v;
  }
  return {};
}

Verdict Profile::filter(Cycle& cycle, NodeInfo& node, Plugin** by) {
  if (!node.nominated.empty()) {
    std::vector<PodPtr> others;
    for (const PodPtr& p : node.nominated) {
      if (p->priority >= cycle.pod->priority && p->uid != cycle.pod->uid) others.push_back(p);
    }
    if (!others.empty()) {
      for (const PodPtr& p : others) {
        node.add_pod(p);
        add_pod(cycle, *p, node);
      }
      Verdict crowded = run_filters(cycle, node, by);
      for (const PodPtr& p : others) {
        node.remove_pod(p->uid);
        remove_pod(cycle, *p, node);
      }
      if (!crowded.ok()) return crowded;
    }
  }
  return run_filters(cycle, node, by);
}

void Profile::add_pod(Cycle& cycle, const PodInfo& pod, const NodeInfo& node) {
  for (Plugin* p : cycle.filters) p->add_pod(cycle, pod, node);
}

void Profile::remove_pod(Cycle& cycle, const PodInfo& pod, const NodeInfo& node) {
  for (Plugin* p : cycle.filters) p->remove_pod(cycle, pod, node);
}

PostFilter Profile::post_filter(Cycle& cycle, Failure& failure) {
  Timed timed(*this, "PostFilter");
  PostFilter out = ask_post_filters(cycle, failure);
  timed.ended(out.verdict.code);
  return out;
}

PostFilter Profile::ask_post_filters(Cycle& cycle, Failure& failure) {
  PostFilter out{Verdict{Code::kUnschedulable, nullptr}, std::nullopt};
  std::string message;
  for (Plugin* p : at(kPostFilter)) {
    PostFilter r = p->post_filter(cycle, *cycle.pod, failure);
    if (r.verdict.code == Code::kWait) {
      r.by = p;
      return r;
    }
    if (r.nominated_node) out.nominated_node = r.nominated_node;
    if (r.verdict.ok()) {
      out.verdict = {};
      failure.post_filter_message.clear();
      return out;
    }
    std::string text = r.verdict.message();
    if (r.verdict.code == Code::kError) {
      out.verdict = std::move(r.verdict);
      failure.post_filter_message = text;
      return out;
    }
    if (!text.empty()) message += (message.empty() ? "" : ", ") + text;
    if (r.verdict.code == Code::kUnresolvable) {
      out.verdict.code = Code::kUnresolvable;
      break;
    }
  }
  failure.post_filter_message = std::move(message);
  return out;
}

std::vector<int64_t> Profile::score(Cycle& cycle, const std::vector<NodeInfo*>& feasible) {
  const Timed timed(*this, "Score");
  std::vector<int64_t> total(score_.empty() ? 0 : feasible.size()), one(feasible.size());
  for (auto& [p, weight] : score_) {
    if (pre_scores_.contains(p) && !p->pre_score(cycle, *cycle.pod, feasible)) continue;
    for (size_t i = 0; i < feasible.size(); ++i) one[i] = p->score(cycle, *cycle.pod, *feasible[i]);
    p->normalize(cycle, feasible, one);
    for (size_t i = 0; i < feasible.size(); ++i) total[i] += one[i] * weight;
  }
  return total;
}

Verdict Profile::reserve(Cycle& cycle, const std::string& node, Plugin** by) {
  Timed timed(*this, "Reserve");
  for (Plugin* p : at(kReserve)) {
    Verdict v = p->reserve(cycle, *cycle.pod, node);
    if (v.ok()) continue;
    timed.ended(v.code);
    *by = p;
    return v;
  }
  return {};
}

void Profile::unreserve(Cycle& cycle, const std::string& node) {
  const std::vector<Plugin*>& all = at(kReserve);
  for (auto it = all.rbegin(); it != all.rend(); ++it) (*it)->unreserve(cycle, *cycle.pod, node);
}

Verdict Profile::permit(Cycle& cycle, const std::string& node, Plugin** by,
                        std::vector<std::pair<Plugin*, Duration>>* waits) {
  constexpr Duration kLongest = 15min;
  Timed timed(*this, "Permit");
  for (Plugin* p : at(kPermit)) {
    Permission r = p->permit(cycle, *cycle.pod, node);
    if (r.verdict.ok()) continue;
    if (r.verdict.code == Code::kWait) {
      waits->emplace_back(p, std::min(r.timeout, kLongest));
      continue;
    }
    *by = p;
    timed.ended(r.verdict.code);
    return r.verdict;
  }
  if (!waits->empty()) timed.ended(Code::kWait);
  return waits->empty() ? Verdict{} : Verdict{Code::kWait, nullptr};
}

bool Profile::wants_pre_bind(Cycle& cycle, const std::string& node) {
  const std::vector<Plugin*>& all = at(kPreBind);
  return std::any_of(all.begin(), all.end(),
                     [&](Plugin* p) { return p->wants_pre_bind(cycle, *cycle.pod, node); });
}

Task<Status> Profile::pre_bind(Context ctx, CyclePtr cycle, std::string node) {
  Timed timed(*this, "PreBind");
  for (Plugin* p : at(kPreBind)) {
    if (!p->wants_pre_bind(*cycle, *cycle->pod, node)) continue;
    Status s = co_await p->pre_bind(ctx, cycle, node);
    if (!s.ok()) {
      timed.ended(Code::kError);
      co_return s.with_prefix("running PreBind plugin \"" + std::string(p->name()) + "\"");
    }
  }
  co_return Status();
}

Task<Status> Profile::bind(Context ctx, CyclePtr cycle, std::string node) {
  Timed timed(*this, "Bind");
  for (Plugin* p : at(kBind)) {
    std::optional<Status> s = co_await p->bind(ctx, cycle, node);
    if (!s) continue;
    if (!s->ok()) timed.ended(Code::kError);
    co_return std::move(*s);
  }
  co_return Status::internal("no Bind plugin of the profile binds this pod");
}

void Profile::post_bind(Cycle& cycle, const std::string& node) {
  const Timed timed(*this, "PostBind");
  for (Plugin* p : at(kPostBind)) p->post_bind(cycle, *cycle.pod, node);
}

}  // namespace keles::scheduler
