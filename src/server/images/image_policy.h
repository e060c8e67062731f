// ImagePolicyWebhook: somebody outside says whether a pod may run its images
// (imagepolicy.k8s.io/v1alpha1 ImageReview). What was said is remembered for a time.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "server/admission/admission.h"
#include "server/admission/config_file.h"
#include "server/identity/memory.h"
#include "server/identity/remote.h"

namespace keles::images {

// A review's status.
struct Word {
  bool allowed = false;
  std::string reason;
  std::map<std::string, std::string> audit;
};

// The spec of the review of a pod, as it is sent: all of its containers and init containers, or
// (`ephemeral`) the ephemeral ones alone, and those annotations that are the webhook's.
std::string review_spec(const Value& pod, std::string_view ns, bool ephemeral);
// kBadRequest: the answer is none.
Result<Word> read_review(std::string_view answer);

class ImagePolicy final : public admission::Dynamic {
 public:
  // The kubeconfig is read now. Blocking. kBadRequest, also without a configuration.
  static Result<std::shared_ptr<ImagePolicy>> make(
      const std::optional<admission::ImagePolicyConfig>& config);
  ImagePolicy(std::shared_ptr<identity::Remote> at, admission::ImagePolicyConfig config)
      : at_(std::move(at)), config_(std::move(config)) {}

  std::string_view name() const override { return "ImagePolicyWebhook"; }
  bool concerns(const admission::Attributes& a) const override;
  bool admits() const override { return false; }
  Task<Status> validate(Context ctx, const admission::Attributes* a, const Value* object,
                        const Value* before) override;

 private:
  Task<Result<Word>> ask(Context ctx, std::string spec);

  std::shared_ptr<identity::Remote> at_;
  admission::ImagePolicyConfig config_;
  identity::Memory<Word> memory_{1024};
};

}  // namespace keles::images
