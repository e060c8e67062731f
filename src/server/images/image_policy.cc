#include "server/images/image_policy.h"

#include "base/log.h"
#include "machinery/codec_json.h"
#include "server/admission/answer.h"
#include "server/identity/retry.h"

namespace keles::images {
namespace {

using admission::Attributes;
using admission::Operation;

constexpr size_t kAnswerBytes = 3 << 20;
constexpr std::string_view kVersion = "imagepolicy.k8s.io/v1alpha1";
constexpr std::string_view kAnnotations = "imagepolicywebhook.image-policy.k8s.io/";

std::string quoted_json(std::string_view text) {
  std::string out;
  write_json_string(out, text);
  return out;
}

void add_images(std::string& out, const Value& containers) {
  for (const Value& c : containers.items()) {
    out += out.empty() ? "{" : ",{";
    const std::string_view image = c["image"].as_string();
    if (!image.empty()) out += "\"image\":" + quoted_json(image);
    out += '}';
  }
}

std::string webhook_annotations(const Value& pod) {
  std::map<std::string_view, std::string_view> sorted;
  for (const Member& m : pod["metadata"]["annotations"].members()) {
    if (m.key().find(".image-policy.k8s.io/") != std::string_view::npos) {
      sorted.emplace(m.key(), m.value.as_string());
    }
  }
  std::string out;
  for (const auto& [key, value] : sorted) {
    out += (out.empty() ? "" : ",") + quoted_json(key) + ":" + quoted_json(value);
  }
  return out;
}

Status judge(const Attributes& a, const Word& word) {
  for (const auto& [key, value] : word.audit) {
    admission::annotate(a, std::string(kAnnotations) + key, value);
  }
  if (word.allowed) return {};
  return admission::refuse(
      a, word.reason.empty()
             ? "one or more images rejected by webhook backend"
             : "image policy webhook backend denied one or more images: " + word.reason);
}

}  // namespace

std::string review_spec(const Value& pod, std::string_view ns, bool ephemeral) {
  const Value& spec = pod["spec"];
  std::string images;
  if (ephemeral) {
    add_images(images, spec["ephemeralContainers"]);
  } else {
    add_images(images, spec["containers"]);
    add_images(images, spec["initContainers"]);
  }
  std::string out;
  if (!images.empty()) out += "\"containers\":[" + images + "],";
  if (const std::string all = webhook_annotations(pod); !all.empty()) {
    out += "\"annotations\":{" + all + "},";
  }
  if (!ns.empty()) out += "\"namespace\":" + quoted_json(ns) + ",";
  if (!out.empty()) out.pop_back();
  return "{" + out + "}";
}

Result<Word> read_review(std::string_view answer) {
  auto doc = parse_json(answer);
  if (!doc.ok() || doc->root["kind"].as_string() != "ImageReview" ||
      doc->root["apiVersion"].as_string() != kVersion) {
    return Status::bad_request("the webhook's answer is no ImageReview of " +
                               std::string(kVersion));
  }
  const Value& status = doc->root["status"];
  Word out;
  out.allowed = status["allowed"].as_bool();
  out.reason = status["reason"].as_string();
  for (const Member& m : status["auditAnnotations"].members()) {
    out.audit.emplace(m.key(), m.value.as_string());
  }
  return out;
}

Result<std::shared_ptr<ImagePolicy>> ImagePolicy::make(
    const std::optional<admission::ImagePolicyConfig>& config) {
  if (!config) {
    return Status::bad_request(
        "couldn't init admission plugin \"ImagePolicyWebhook\": no config specified");
  }
  TRY_ASSIGN(at, identity::Remote::of_kubeconfig(config->kubeconfig));
  return std::make_shared<ImagePolicy>(std::move(at), *config);
}

bool ImagePolicy::concerns(const Attributes& a) const {
  return (a.operation == Operation::kCreate || a.operation == Operation::kUpdate) &&
         a.is("", "Pod") && (a.subresource.empty() || a.subresource == "ephemeralcontainers");
}

Task<Result<Word>> ImagePolicy::ask(Context ctx, std::string spec) {
  std::string sent = "{\"kind\":\"ImageReview\",\"apiVersion\":\"" + std::string(kVersion) +
                     "\",\"metadata\":{},\"spec\":" + spec + ",\"status\":{\"allowed\":false}}";
  auto answer = co_await identity::post_with_patience(ctx, at_, std::move(sent), Duration(),
                                                      kAnswerBytes, nullptr, config_.backoff);
  if (!answer.ok()) co_return answer.status();
  auto word = read_review(*answer);
  if (!word.ok()) co_return word.status();
  const Duration ttl = word->allowed ? config_.allow_ttl : config_.deny_ttl;
  if (ttl > Duration()) {
    memory_.keep(std::move(spec), *word, (ctx.loop().now() + ttl).ns);
  }
  co_return std::move(*word);
}

Task<Status> ImagePolicy::validate(Context ctx, const Attributes* a, const Value* object,
                                   const Value*) {
  if (object == nullptr) co_return Status();
  std::string spec = review_spec(*object, a->namespace_, !a->subresource.empty());
  if (auto known = memory_.find(spec, ctx.loop().now().ns)) co_return judge(*a, *known);
  auto word = co_await ask(ctx, std::move(spec));
  if (word.ok()) co_return judge(*a, *word);
  log::error("error contacting the image policy webhook", {{"err", word.status()}});
  // Whose own time is over is not let by for it: who asks chooses how long that is.
  if (!config_.default_allow || ctx.done()) {
    co_return admission::refuse(*a, word.status().message());
  }
  admission::annotate(*a, std::string(kAnnotations) + "failed-open", "true");
  co_return Status();
}

}  // namespace keles::images
