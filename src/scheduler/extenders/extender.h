// One extender: a server that is asked, over HTTP, which nodes will do for a pod, which are better,
// whom preemption may take, and to bind (kube-scheduler/extender/v1). Each call ends by its timeout
// and takes no more bytes than an answer to it can have. One loop's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/core_v1.h"
#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "machinery/object.h"
#include "net/http.h"
#include "scheduler/framework.h"

namespace keles::scheduler {

// As a KubeSchedulerConfiguration says it. A verb that is "" the extender has not.
struct ExtenderOptions {
  std::string url;  // http:// or https://, with whatever path
  std::string filter_verb, prioritize_verb, preempt_verb, bind_verb;
  int64_t weight = 0;
  Duration timeout = 5s;
  bool node_cache_capable = false;
  bool ignorable = false;
  // Only pods that ask for one of these are its business; none: all are.
  std::set<std::string, std::less<>> managed;
  net::ClientTls tls;
  // Sends instead of HTTP: tests on virtual time.
  std::function<Task<Result<net::Response>>(Context, net::Request)> send;
};

class Extender {
 public:
  explicit Extender(ExtenderOptions options) : options_(std::move(options)) {}
  Extender(const Extender&) = delete;
  Extender& operator=(const Extender&) = delete;
  const ExtenderOptions& options() const { return options_; }
  const std::string& name() const { return options_.url; }
  bool is_interested(const api::core_v1::Pod& pod) const;

  // What it is asked about. Nodes as objects go with their names, one by one.
  struct Question {
    ObjectPtr pod;
    std::vector<std::string> names;
    std::vector<ObjectPtr> nodes;
  };
  struct Answer {
    std::vector<std::string> left;  // of the names that were offered, in their order
    std::map<std::string, std::string> failed, unresolvable;  // of the others: why
  };
  Task<Result<Answer>> filter(Context ctx, std::shared_ptr<const Question> q);
  // By node, weighted, on the scale of plugins' sums. Nodes that were not offered are left out.
  Task<Result<std::map<std::string, int64_t>>> prioritize(Context ctx,
                                                          std::shared_ptr<const Question> q);
  Task<Status> bind(Context ctx, ObjectPtr pod, std::string node);
  // The candidates that it leaves, with the victims that it wants. `pods_of` shows the pods on a
  // node, and is asked after the wait.
  struct Preemption {
    ObjectPtr pod;
    int32_t priority = 0;
    std::vector<Candidate> candidates;
    std::function<ObjectPtr(const PodInfo&)> object_of;
    std::function<std::vector<PodPtr>(const std::string& node)> pods_of;
  };
  Task<Result<std::vector<Candidate>>> preempt(Context ctx, std::shared_ptr<const Preemption> p);

 private:
  Task<Result<std::string>> post(Context ctx, std::string verb, std::string body);
  Task<Result<net::Response>> send(Context ctx, net::Request request, size_t most);
  std::string args_for(const Question& q) const;
  Result<Answer> read_filtered(const Question& q, std::string_view text) const;
  Result<std::vector<PodPtr>> read_victims(const Preemption& p, const std::string& node,
                                           const std::vector<std::string>& uids) const;
  Result<std::vector<Candidate>> read_candidates(const Preemption& p, std::string_view text) const;

  ExtenderOptions options_;
  std::shared_ptr<net::HttpClient> http_;  // made at the first call
};

// What an extender's URL names; kBadRequest for one that is no absolute http or https URL.
struct ExtenderPlace {
  std::string host, path, authority;
  uint16_t port = 0;
  bool tls = false;
};
Result<ExtenderPlace> read_extender_url(const std::string& url);

}  // namespace keles::scheduler
