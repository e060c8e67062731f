// Decisions in which extenders have a say. While they are asked other pods get their nodes: what
// they leave is looked at once more before one is chosen, and all is begun anew, a few times, when
// nothing of it is left. One at a time; one loop's thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "scheduler/decide.h"
#include "scheduler/extenders/extender.h"
#include "scheduler/handle.h"

namespace keles::scheduler {

class ExtendedDecider {
 public:
  // Handle and decider outlive it. Those that are ignorable are asked last.
  ExtendedDecider(Handle& handle, Decider& decider, std::vector<ExtenderOptions> extenders);

  // Whether any of them is interested in the pod.
  bool concerns(const PodInfo& pod) const;
  // As Decider::decide(). When it returns nothing has happened since the last look at the nodes.
  Task<Decision> decide(Context ctx, CyclePtr cycle);
  // Asks about the candidates of a post_filter() that waits, and has its plugin choose.
  Task<PostFilter> settle(Context ctx, CyclePtr cycle, PostFilter asked);
  // Nothing: none of them binds this pod. What one says that it has done is looked at.
  Task<std::optional<Status>> bind(Context ctx, CyclePtr cycle, std::string node);

 private:
  using Question = Extender::Question;
  struct Opinion {
    Verdict error;
    std::vector<std::string> left;
    std::map<std::string, std::string> failed, unresolvable;
    std::map<std::string, int64_t> extra;  // by node, added to its score
  };
  std::vector<Extender*> interested(const PodInfo& pod) const;
  std::shared_ptr<Question> question(const PodInfo& pod, std::vector<std::string> names,
                                     const std::vector<Extender*>& asked) const;
  Task<std::shared_ptr<Opinion>> ask(Context ctx, PodPtr pod, std::vector<Extender*> asked,
                                     std::vector<std::string> names);
  Task<void> prioritize(Context ctx, Extender* one, std::shared_ptr<const Question> q,
                        std::shared_ptr<Opinion> into);
  // False: what they left is no longer good, another round may find more.
  bool choose(Cycle& cycle, const Opinion& o, const std::vector<std::string>& offered,
              const std::vector<std::string>& resolvable, Random& random, Decision& d);
  Task<Status> look_whether_bound(Context ctx, std::string extender, PodPtr pod);

  Handle& handle_;
  Decider& decider_;
  std::vector<std::unique_ptr<Extender>> extenders_;
};

}  // namespace keles::scheduler
