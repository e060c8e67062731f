// Ranges of the node's user and group ids, one a pod that has a user namespace of its own.
//
// One loop; what touches the disk says so.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "node/cri/runtime.h"

namespace keles::node {

struct UserIdRange {
  uint32_t first = 0, length = 0;
};
// Of user `name` in a file like /etc/subuid: "name:first:length". kNotFound without a line of his;
// kBadRequest when he has several.
Result<UserIdRange> parse_sub_ids(std::string_view text, std::string_view name);
// What the node may give away: the lines of the user "kubelet", who must have the same in both
// files, or `ids_per_pod` for each of `max_pods` when there is no such user. Blocking.
Result<UserIdRange> node_user_ids(uint32_t ids_per_pod, int64_t max_pods);

// A pod's file. kBadRequest for what is none.
Result<cri::IdMapping> parse_user_mappings(std::string_view json);
std::string user_mappings_text(const cri::IdMapping& mapping);

class UserNamespaces {
 public:
  static constexpr uint32_t kIdsPerPod = 65536;
  // `ids_per_pod` is a multiple of 65536, as are what it gives away and where that begins.
  static Status check(UserIdRange all, uint32_t ids_per_pod, int64_t max_pods);
  UserNamespaces(std::string root, UserIdRange all, uint32_t ids_per_pod)
      : root_(std::move(root)), all_(all), ids_per_pod_(ids_per_pod) {}

  // What pods on the disk have. Blocking; before anything else.
  Status load();
  // The pod's range: its own, or the first that is free. The job writes it down: blocking, on the
  // pool, and before the range is used.
  struct Given {
    cri::IdMapping mapping;
    std::function<Status()> keep;  // null: it is written down
  };
  Result<Given> give(const std::string& uid);
  void release(const std::string& uid);
  size_t in_use() const { return by_pod_.size(); }

 private:
  Status record(const std::string& uid, const cri::IdMapping& mapping);
  std::string file(const std::string& uid) const { return root_ + "/pods/" + uid + "/userns"; }

  std::string root_;
  UserIdRange all_;
  uint32_t ids_per_pod_;
  std::map<std::string, uint32_t> by_pod_;  // the first id of each
  std::set<uint32_t> used_;
};

}  // namespace keles::node
