// Profile: the plugins of one schedulerName, each at its points, and what the framework does with
// them. One loop's thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "scheduler/framework.h"
#include "scheduler/metrics.h"

namespace keles::scheduler {

// Which plugins stand where. Made from configuration (config.h) or default_layout().
struct Layout {
  struct Entry {
    std::string plugin;
    uint32_t points;  // at these of its points
    int weight = 1;   // at kScore
  };
  // At each point in this order. A plugin may be there several times, for different points.
  std::vector<Entry> entries;
};

class Profile {
 public:
  struct Stand {
    Plugin* plugin;
    uint32_t points;
    int weight;
  };
  Profile(std::string scheduler_name, std::vector<std::unique_ptr<Plugin>> plugins,
          const std::vector<Stand>& stands);
  const std::string& name() const { return name_; }
  const std::vector<std::unique_ptr<Plugin>>& plugins() const { return plugins_; }
  bool has(Point point) const;
  // percentageOfNodesToScore of its own.
  std::optional<int> percentage;

  // From now on how long its points take is measured (metrics.h). Both outlive it.
  void measure(Loop& loop, meters::OfProfile& into);
  // Measures one point from here to the end of the scope.
  class Timed {
   public:
    Timed(const Profile& of, std::string_view point);
    ~Timed();
    Timed(const Timed&) = delete;
    Timed& operator=(const Timed&) = delete;
    void ended(Code code) { code_ = code; }

   private:
    const Profile& of_;
    std::string_view point_;
    TimePoint since_;
    Code code_ = Code::kSuccess;
  };

  // The first plugin that will not have the pod in the queue.
  Verdict pre_enqueue(const PodInfo& pod, Plugin** by);

  struct Prepared {
    Verdict verdict;
    Plugin* by = nullptr;
    std::optional<std::set<std::string>> nodes;
    std::vector<Plugin*> narrowed;  // who named those
  };
  Prepared pre_filter(Cycle& cycle);
  // With the pods that are nominated to the node and at least as important, and without them.
  Verdict filter(Cycle& cycle, NodeInfo& node, Plugin** by);
  void add_pod(Cycle& cycle, const PodInfo& pod, const NodeInfo& node);
  void remove_pod(Cycle& cycle, const PodInfo& pod, const NodeInfo& node);
  PostFilter post_filter(Cycle& cycle, Failure& failure);
  // The weighted sums; empty when nobody scores.
  std::vector<int64_t> score(Cycle& cycle, const std::vector<NodeInfo*>& feasible);
  Verdict reserve(Cycle& cycle, const std::string& node, Plugin** by);
  void unreserve(Cycle& cycle, const std::string& node);
  // kWait: those that make it wait, each with its time.
  Verdict permit(Cycle& cycle, const std::string& node, Plugin** by,
                 std::vector<std::pair<Plugin*, Duration>>* waits);
  bool wants_pre_bind(Cycle& cycle, const std::string& node);
  Task<Status> pre_bind(Context ctx, CyclePtr cycle, std::string node);
  Task<Status> bind(Context ctx, CyclePtr cycle, std::string node);
  void post_bind(Cycle& cycle, const std::string& node);

 private:
  Prepared ask_pre_filters(Cycle& cycle);
  PostFilter ask_post_filters(Cycle& cycle, Failure& failure);
  Verdict run_filters(Cycle& cycle, const NodeInfo& node, Plugin** by);
  const std::vector<Plugin*>& at(Point point) const;
  std::string name_;
  Loop* loop_ = nullptr;
  meters::OfProfile* meters_ = nullptr;
  std::vector<std::unique_ptr<Plugin>> plugins_;
  std::map<uint32_t, std::vector<Plugin*>> by_point_;
  std::vector<Plugin*> pre_filter_, filter_;
  std::vector<std::pair<Plugin*, int>> score_;
  std::set<const Plugin*> pre_scores_;
};

}  // namespace keles::scheduler
