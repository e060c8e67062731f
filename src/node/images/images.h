// Images of containers: present or pulled, by policy, with a back-off per image
// (https://kubernetes.io/docs/concepts/containers/images/).
//
// One loop.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/context.h"
#include "node/cri/runtime.h"
#include "node/pods/plan.h"

namespace keles::node {

class Images {
 public:
  explicit Images(cri::Runtime& runtime) : runtime_(runtime) {}

  using Report = std::function<void(std::string type, std::string reason, std::string message)>;
  struct Outcome {
    std::optional<cri::Image> image;
    Waiting waiting;      // why there is none
    WallTime retry_at{};  // when to try again
  };
  // `auths` are tried in turn (none: an anonymous pull). `key` names who asks, for the back-off.
  Task<Outcome> ensure(Context ctx, std::string key, std::string image, std::string policy,
                       std::vector<cri::ImageAuth> auths, Report report);
  void forget(const std::string& key) { backoff_.erase(key); }

  // Removes images that nothing uses, oldest sight first, while the image filesystem of
  // `root` is fuller than `high_percent`, down to `low_percent`.
  Task<Status> collect_garbage(Context ctx, std::string root, int high_percent = 85,
                               int low_percent = 80);

 private:
  struct Failure {
    Backoff backoff;
    WallTime at;
    std::string message;
  };
  Task<Result<std::string>> pull(Context ctx, std::string image, std::vector<cri::ImageAuth> auths);
  cri::Runtime& runtime_;
  std::map<std::string, std::map<std::string, Failure>> backoff_;  // key -> image
  std::map<std::string, WallTime> first_seen_;
};

// The registry credentials of a kubernetes.io/dockerconfigjson (or dockercfg) secret that match
// `image`.
std::vector<cri::ImageAuth> auths_from_docker_config(std::string_view json, std::string_view image);

}  // namespace keles::node
