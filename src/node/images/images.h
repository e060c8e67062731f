// Images of containers: present or pulled, by policy, with a back-off per image
// (https://kubernetes.io/docs/concepts/containers/images/); and removed when nothing uses them.
//
// One loop; what touches the disk is done on the pool.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/sync.h"
#include "node/cri/runtime.h"
#include "node/images/credential_providers.h"
#include "node/images/image_gc.h"
#include "node/images/keyring.h"
#include "node/images/pull_records.h"
#include "node/pods/plan.h"

namespace keles::node {

struct ImageOptions {
  std::string root;  // of the kubelet: what is known of pulls is kept there; "" keeps nothing
  ImageGcPolicy gc;
  int64_t parallel_pulls = 1;  // at once; 0: any number
  PullVerification verification;
  std::shared_ptr<CredentialProviders> providers;  // null: there are none
};

class Images {
 public:
  using Report = std::function<void(std::string type, std::string reason, std::string message)>;
  // `node_event` is told what concerns the node as a whole.
  Images(ImageOptions options, cri::Runtime& runtime, Report node_event);

  struct Outcome {
    std::optional<cri::Image> image;
    Waiting waiting;      // why there is none
    WallTime retry_at{};  // when to try again
  };
  struct Request {
    std::string key;  // who asks, for the back-off
    std::string image, policy;
    Keyring secrets;  // the pod's, besides the node's own
    PodAccount account;
  };
  Task<Outcome> ensure(Context ctx, Request request, Report report);
  void forget(const std::string& key) { backoff_.erase(key); }

  // Reads what an earlier agent knew; before the first ensure().
  Task<void> start(Context ctx);
  // Removes images that are too old, and unused ones while the file system is too full.
  Task<Status> collect_garbage(Context ctx);
  // Removes all that nothing uses, but for what has only just come.
  Task<Status> delete_unused(Context ctx);

 private:
  struct Failure {
    Backoff backoff;
    WallTime at;
    std::string message;
  };
  struct Pulled {
    std::optional<RegistryCredential> with;
    std::string ref;  // the runtime's name for it
    Duration took{0};
  };
  // The credential providers' own, after those that are there.
  Task<void> ask_programs(Context ctx, const Request* request,
                          std::vector<RegistryCredential>* credentials);
  Task<Result<Pulled>> pull(Context ctx, std::string image,
                            std::vector<RegistryCredential> credentials);
  Task<Result<Pulled>> pull_in_turn(Context ctx, std::string image,
                                    std::vector<RegistryCredential> credentials);
  Task<void> keep(Context ctx, PullRecords::Job job);
  Task<Result<std::vector<ImageGarbage::Unused>>> unused(Context ctx);
  Task<int64_t> free(Context ctx, std::vector<ImageGarbage::Unused> images, int64_t bytes,
                     const char* reason, Status* first_error);
  Task<void> forget_removed(Context ctx, WallTime began);
  std::vector<RegistryCredential> credentials_for(const Request& request) const;

  ImageOptions options_;
  cri::Runtime& runtime_;
  Report node_event_;
  std::unique_ptr<Semaphore> slots_;  // null: any number
  PullRecords records_;
  ImageGarbage garbage_;
  WallTime began_{};
  Keyring node_keyring_;
  std::string file_system_;                                        // where the runtime keeps images
  std::map<std::string, std::map<std::string, Failure>> backoff_;  // key -> image
};

}  // namespace keles::node
